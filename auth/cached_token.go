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
	refused              // a service answered 401: not returned
)

func (p phase) String() string { return [...]string{"fresh", "stale", "expired", "rejected"}[p] }

// cachedToken is a token in the cache. Only the last two fields change after it is created.
type cachedToken struct {
	value      string
	id         string // fingerprint
	generation uint64
	foreign    bool          // minted by another process of the fleet
	sent       time.Time     // when the request for it was sent, at least approximately
	sentWall   int64         // the same on the wall clock, Unix nanoseconds
	life       time.Duration // counted from sent; 0: does not expire
	renewAt    time.Duration // counted from sent: when the token becomes stale; 0: never

	rejected atomic.Bool // a service answered 401 to it
	accepted atomic.Bool // a service accepted it, here or in another process of the fleet
}

// newCachedToken returns a cached token with the life d. The last part of a life is the renewal
// window: a fifth of it, at most window, less a random third, so that the processes of a fleet do
// not all renew at the same time. It depends only on the life, so no answer of a server can make
// every call start a renewal.
func newCachedToken(value string, generation uint64, sent time.Time, d, window time.Duration) *cachedToken {
	h := &cachedToken{
		value:      value,
		id:         Fingerprint(value),
		generation: generation,
		sent:       sent,
		sentWall:   sent.UnixNano(),
		life:       d,
	}
	if d > 0 {
		w := min(d/5, window)
		w -= time.Duration(rand.Float64() * float64(w) / 3)
		h.renewAt = d - w
	}

	return h
}

// age returns the larger of two ages, by the monotonic clock and by the wall clock: the first stops
// while a machine sleeps, the second can be set.
func (h *cachedToken) age(now time.Time) time.Duration {
	return max(now.Sub(h.sent), time.Duration(now.UnixNano()-h.sentWall))
}

func (h *cachedToken) phase(now time.Time) phase {
	if h.rejected.Load() {
		return refused
	}
	if h.life == 0 {
		return fresh
	}

	switch age := h.age(now); {
	case age >= h.life:
		return expired
	case age >= h.renewAt:
		return stale
	default:
		return fresh
	}
}

// endsWithin reports whether the token expires within d and a new one would last longer. In the
// first half of its life a token is not worth replacing.
func (h *cachedToken) endsWithin(d time.Duration, now time.Time) bool {
	age := h.age(now)
	return h.servable(now) && h.life != 0 && h.life-age < d && age >= h.life/2
}

// servable reports whether the token may still be returned.
func (h *cachedToken) servable(now time.Time) bool { return h != nil && h.phase(now) <= stale }

// outlives reports whether h ends after other.
func (h *cachedToken) outlives(other *cachedToken) bool {
	if h.life == 0 || other.life == 0 {
		return h.life == 0 && other.life != 0
	}
	return h.sent.Add(h.life).After(other.sent.Add(other.life))
}

// matches reports whether h holds token, in constant time.
func (h *cachedToken) matches(token string) bool {
	return subtle.ConstantTimeCompare([]byte(h.value), []byte(token)) == 1
}

// Fingerprint identifies a token without revealing it: the first 12 hexadecimal digits of its
// SHA-256. It is safe in logs because tokens are long and random. Do not pass passwords to it.
func Fingerprint(token string) string { return seal.Fingerprint(token) }
