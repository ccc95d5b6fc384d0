package auth

import "time"

// WithFreshFor sets how soon after its issue a token must be refused to open the loop breaker, for
// tests on a real clock.
func WithFreshFor(d time.Duration) Option {
	return func(o *options) { o.timing.freshFor, o.timing.repeatWindow = d, d }
}

// WithWall sets the clock that stamps shared records, for fleets whose clocks differ.
func WithWall(now func() time.Time) Option { return func(o *options) { o.wall = now } }

// WithPersistHook calls hook at each stage of storing a grant.
func WithPersistHook(hook func(stage string)) Option {
	return func(o *options) { o.persistHook = hook }
}

// Phase returns the phase of a token with the given life, after the monotonic clock has advanced by
// mono and the wall clock by wall.
func Phase(life, mono, wall time.Duration) string {
	tok := newCachedToken("token", 1, time.Unix(1000, 0), life, time.Hour)
	now := tok.sent.Add(mono)
	tok.sentWall += int64(mono - wall)

	return tok.phase(now).String()
}

// Windows returns how long before its end a token is renewed, for n tokens.
func Windows(life, window time.Duration, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		tok := newCachedToken("token", 1, time.Unix(1000, 0), life, window)
		out[i] = tok.life - tok.renewAt
	}
	return out
}
