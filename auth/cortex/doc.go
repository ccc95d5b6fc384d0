// Package cortex gets access tokens for an app of the Cortex hub. An administrator logs in once
// (authorization code, RFC 6749 section 4.1). From then on, the package gets access tokens with the
// refresh token of this login.
//
// It guarantees that a refresh token is durable before the access token that came with it is used,
// unless it cannot be stored: then it is kept in memory, and storing is retried. With a grant file,
// only one process of a machine refreshes a grant at a time. A failure never loses the stored
// refresh token.
//
// Use it through auth.New, auth.NewLogin and auth.Logout, which take a profile.
package cortex
