// Package cortex gets the tokens of an app of the Cortex hub: an administrator logs in once
// (authorization code, RFC 6749 section 4.1), and from then on a refresh token gets access
// tokens.
//
// It guarantees that a refresh token is durable before the access token that came with it is used,
// that on one machine a grant is refreshed by one process at a time, and that a failure never loses
// the stored refresh token.
//
// Use it through auth.New, auth.NewLogin and auth.Logout, which take a profile.
package cortex
