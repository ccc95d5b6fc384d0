package auth

import (
	"crypto/subtle"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"backburn/auth/internal/seal"
)

// phase is where a token stands in its life.
type phase int

const (
	fresh   phase = iota // served as it is
	stale                // served, while one renewal runs in the background
	expired              // not served
	refused              // a service said 401 to it: not served
)

func (p phase) String() string { return [...]string{"fresh", "stale", "expired", "rejected"}[p] }

// held is a token in the cache. All but the two flags at its end is fixed when it is made.
type held struct {
	value      string
	id         string // fingerprint
	generation uint64
	foreign    bool          // minted by another process of the fleet
	sent       time.Time     // when the request for it left this machine, or as near as can be told
	sentWall   int64         // the same on the wall clock, Unix nanoseconds
	life       time.Duration // from sent; 0: without end
	renewAt    time.Duration // from sent: stale from here; 0: never

	rejected atomic.Bool // a service answered 401 to it
	worked   atomic.Bool // a service took it, here or in another process of the fleet
}

// hold makes a cached token of life d. The last part of a life is the renewal window: a
// fifth of it, at most window, less a random third, so that a fleet does not renew in
// step. It follows from the life alone, so that no answer of a server, however absurd,
// can make every call a renewal.
func hold(value string, generation uint64, sent time.Time, d, window time.Duration) *held {
	h := &held{
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

// age returns how old the token is by the clock that says more: the monotonic one stops
// while a machine sleeps, the wall clock can be set.
func (h *held) age(now time.Time) time.Duration {
	return max(now.Sub(h.sent), time.Duration(now.UnixNano()-h.sentWall))
}

func (h *held) phase(now time.Time) phase {
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

// endsWithin reports whether the token ends within d and a new one would last longer: one that
// is in the first half of its life is about as good as it gets.
func (h *held) endsWithin(d time.Duration, now time.Time) bool {
	age := h.age(now)
	return h.servable(now) && h.life != 0 && h.life-age < d && age >= h.life/2
}

// servable reports whether the token may still be given out.
func (h *held) servable(now time.Time) bool { return h != nil && h.phase(now) <= stale }

// outlives reports whether h ends after other.
func (h *held) outlives(other *held) bool {
	if h.life == 0 || other.life == 0 {
		return h.life == 0 && other.life != 0
	}
	return h.sent.Add(h.life).After(other.sent.Add(other.life))
}

// is reports whether h holds token, in time that does not depend on where they differ.
func (h *held) is(token string) bool {
	return subtle.ConstantTimeCompare([]byte(h.value), []byte(token)) == 1
}

// Fingerprint names a token without giving it away: the first 12 hexadecimal digits of its
// SHA-256. It is fit for logs because tokens are long and random; passwords are not, and
// must not be passed to it.
func Fingerprint(token string) string { return seal.Fingerprint(token) }
