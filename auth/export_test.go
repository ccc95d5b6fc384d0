package auth

import "time"

// WithFreshFor sets how early a refusal must come to open the loop breaker, for tests on a
// real clock that must not wait for a token to grow old.
func WithFreshFor(d time.Duration) Option {
	return func(o *options) { o.timing.freshFor, o.timing.inARow = d, d }
}

// WithWall sets the clock that stamps shared records, for fleets whose clocks differ.
func WithWall(now func() time.Time) Option { return func(o *options) { o.wall = now } }

// WithPersistHook calls hook at each stage of storing a grant.
func WithPersistHook(hook func(stage string)) Option {
	return func(o *options) { o.persistHook = hook }
}

// Phase reports the phase at which a token of the given life, sent at a moment, is when the
// monotonic clock has moved on by mono and the wall clock by wall.
func Phase(life, mono, wall time.Duration) string {
	h := newCachedToken("token", 1, time.Unix(1000, 0), life, time.Hour)
	now := h.sent.Add(mono)
	h.sentWall += int64(mono - wall)

	return h.phase(now).String()
}

// Windows returns how long before its end a token is renewed, for n tokens.
func Windows(life, window time.Duration, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		h := newCachedToken("token", 1, time.Unix(1000, 0), life, window)
		out[i] = h.life - h.renewAt
	}
	return out
}
