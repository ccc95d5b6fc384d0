package auth

import (
	"crypto/subtle"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"backburn/auth/internal/seal"
)

// phase is a stage in a token's life.
type phase int

const (
	fresh   phase = iota // returned as it is
	stale                // returned, while a renewal runs in the background
	expired              // not returned
	refused              // not returned, because a service answered 401
)

func (p phase) String() string { return [...]string{"fresh", "stale", "expired", "rejected"}[p] }

// cachedToken is a token with what is known about it. Only rejected and accepted change after it is
// created.
type cachedToken struct {
	value      string
	id         string // fingerprint
	generation uint64
	foreign    bool          // requested by another process of the fleet
	sent       time.Time     // when the token was requested; approximate if foreign
	sentWall   int64         // sent on the wall clock, in Unix nanoseconds
	life       time.Duration // counted from sent; 0: does not expire
	renewAt    time.Duration // counted from sent: when the token becomes stale; 0: never

	rejected atomic.Bool // a service answered 401 to it
	accepted atomic.Bool // a service accepted it, here or in another process of the fleet
}

// newCachedToken returns a cached token with the life d. The last part of the life is the renewal
// window: a fifth of the life, at most window. It is shortened at random, by up to a third, so that
// the processes of a fleet do not all renew at the same time. Because the window is a part of the
// life, no answer of a server can make every call start a renewal.
func newCachedToken(value string, generation uint64, sent time.Time, d, window time.Duration) *cachedToken {
	tok := &cachedToken{
		value:      value,
		id:         Fingerprint(value),
		generation: generation,
		sent:       sent,
		sentWall:   sent.UnixNano(),
		life:       d,
	}
	if d > 0 {
		early := min(d/5, window)
		early -= time.Duration(rand.Float64() * float64(early) / 3)
		tok.renewAt = d - early
	}

	return tok
}

// age returns the larger of two ages, by the monotonic clock and by the wall clock: the first stops
// while a machine sleeps, the second can be set.
func (tok *cachedToken) age(now time.Time) time.Duration {
	return max(now.Sub(tok.sent), time.Duration(now.UnixNano()-tok.sentWall))
}

// phase returns the token's phase at a time.
func (tok *cachedToken) phase(now time.Time) phase {
	if tok.rejected.Load() {
		return refused
	}
	if tok.life == 0 {
		return fresh
	}

	switch age := tok.age(now); {
	case age >= tok.life:
		return expired
	case age >= tok.renewAt:
		return stale
	default:
		return fresh
	}
}

// endsWithin reports whether the token expires within d and a new one would last longer. In the
// first half of its life a token is not worth replacing.
func (tok *cachedToken) endsWithin(d time.Duration, now time.Time) bool {
	age := tok.age(now)
	return tok.servable(now) && tok.life != 0 && tok.life-age < d && age >= tok.life/2
}

// servable reports whether the token may still be returned.
func (tok *cachedToken) servable(now time.Time) bool { return tok != nil && tok.phase(now) <= stale }

// outlives reports whether tok ends after other.
func (tok *cachedToken) outlives(other *cachedToken) bool {
	if tok.life == 0 || other.life == 0 {
		return tok.life == 0 && other.life != 0
	}
	return tok.sent.Add(tok.life).After(other.sent.Add(other.life))
}

// matches reports whether tok holds token, in constant time.
func (tok *cachedToken) matches(token string) bool {
	return subtle.ConstantTimeCompare([]byte(tok.value), []byte(token)) == 1
}

// Fingerprint identifies a token without revealing it: the first 12 hexadecimal digits of its
// SHA-256. It is safe in logs because tokens are long and random. Do not pass passwords to it.
func Fingerprint(token string) string { return seal.Fingerprint(token) }
