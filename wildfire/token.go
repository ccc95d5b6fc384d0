package wildfire

import (
	"context"
	"time"
)

// TokenSource gives what authenticates a call, and learns what became of it.
//
// All methods are safe for concurrent use, and called with every request, so they have to be cheap
// while the token is good.
type TokenSource interface {
	// TokenFor returns the Bearer token, or the API key under Config.APIKey, for a call that takes
	// up to d: 0 for one that takes no time to speak of. Where no token lives so long, the newest
	// has to do.
	TokenFor(ctx context.Context, d time.Duration) (string, error)

	// Accepted reports that the service took this token: a later refusal of it, or of the next one,
	// is then no sign of a credential that is no good at all.
	Accepted(token string)

	// Rejected reports that the service refused this token with 401. It is told by value: a source
	// that has fetched a newer one since must not throw that away.
	Rejected(token string)
}

// StaticToken is a TokenSource that always gives the same token: an API key, or a token from
// elsewhere.
type StaticToken string

// TokenFor returns the token.
func (t StaticToken) TokenFor(context.Context, time.Duration) (string, error) { return string(t), nil }

// Accepted does nothing: there is no doubt to end.
func (StaticToken) Accepted(string) {}

// Rejected does nothing: there is no other token.
func (StaticToken) Rejected(string) {}

// String keeps the token out of logs.
func (StaticToken) String() string { return "<secret>" }

// GoString keeps the token out of logs.
func (StaticToken) GoString() string { return "<secret>" }
