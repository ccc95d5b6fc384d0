package wildfire

import (
	"context"
	"time"
)

// TokenSource provides tokens. The client reports to it whether the service accepted them.
//
// All methods must be safe for concurrent use. Nearly every request calls two of them, so they must
// be cheap while the token is valid.
type TokenSource interface {
	// TokenFor returns a token for a call that lasts up to d (0 for a short call): a Bearer token,
	// or an API key if Config.APIKey is set. If no token lasts that long, it returns the newest.
	TokenFor(ctx context.Context, d time.Duration) (string, error)

	// Accepted reports that the service accepted this token. If the service refuses this token or
	// the next one later, the source knows that the credential was valid before.
	Accepted(token string)

	// Rejected reports that the service refused this token with 401. The source compares it with
	// its current token, so that it does not drop a newer one.
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

// String hides the token from package fmt. An encoding as JSON still contains it.
func (StaticToken) String() string { return "<secret>" }

// GoString does the same for %#v.
func (StaticToken) GoString() string { return "<secret>" }
