package wildfire

import "context"

// TokenSource gives what authenticates a call.
//
// Both methods are safe for concurrent use. Token is asked before every request, so it has to be cheap
// while its token is good.
type TokenSource interface {
	// Token returns the Bearer token, or the API key under Config.APIKey.
	Token(ctx context.Context) (string, error)

	// Rejected reports that the service refused this token with 401. It is told by value: a source that has
	// fetched a newer one since must not throw that away.
	Rejected(token string)
}

// StaticToken is a TokenSource that always gives the same token: an API key, or a token from elsewhere.
type StaticToken string

// Token returns the token.
func (t StaticToken) Token(context.Context) (string, error) { return string(t), nil }

// Rejected does nothing: there is no other token.
func (StaticToken) Rejected(string) {}

// String keeps the token out of logs.
func (StaticToken) String() string { return "<secret>" }

// GoString keeps the token out of logs.
func (StaticToken) GoString() string { return "<secret>" }
