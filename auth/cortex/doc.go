// Package cortex gets access tokens for an app of the Cortex hub. An administrator logs in once
// (authorization code, RFC 6749 section 4.1). From then on, the package gets access tokens with the
// refresh token of this login.
//
// It guarantees that a refresh token is durable before the access token that came with it is used,
// that on one machine a grant is refreshed by one process at a time, and that a failure never loses
// the stored refresh token.
//
// Use it through auth.New, auth.NewLogin and auth.Logout, which take a profile.
package cortex
