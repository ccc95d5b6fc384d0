package wildfire

import (
	"context"
	"time"
)

// TokenSource provides tokens, and learns whether the service accepted them.
//
// All methods must be safe for concurrent use. They are called for every request, so they must be
// cheap while the token is valid.
type TokenSource interface {
	// TokenFor returns the Bearer token, or the API key under Config.APIKey, for a call that lasts
	// up to d (0 for a short call). If no token lasts that long, the newest is returned.
	TokenFor(ctx context.Context, d time.Duration) (string, error)

	// Accepted reports that the service accepted this token. A later refusal of this token or the
	// next one then does not mean that the credential was never valid.
	Accepted(token string)

	// Rejected reports that the service refused this token with 401. The token is passed by value,
	// so that the source keeps a newer token that it has fetched meanwhile.
	Rejected(token string)
}

// StaticToken is a TokenSource that always returns the same token: an API key, or a token from
// elsewhere.
type StaticToken string

// TokenFor returns the token.
func (t StaticToken) TokenFor(context.Context, time.Duration) (string, error) { return string(t), nil }

// Accepted does nothing.
func (StaticToken) Accepted(string) {}

// Rejected does nothing, because there is no other token.
func (StaticToken) Rejected(string) {}

// String keeps the token out of logs.
func (StaticToken) String() string { return "<secret>" }

// GoString keeps the token out of logs.
func (StaticToken) GoString() string { return "<secret>" }
