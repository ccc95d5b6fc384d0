package auth

import "time"

// WithFreshFor sets how early a refusal must come to open the loop breaker, for tests on a
// real clock that must not wait for a token to grow old.
func WithFreshFor(d time.Duration) Option {
	return func(o *options) { o.timing.freshFor, o.timing.inARow = d, d }
}
