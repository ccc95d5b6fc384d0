// Package cortex gets the tokens of an app of the Cortex hub: an administrator logs in once
// (authorization code, RFC 6749 section 4.1), and from then on a refresh token gets access
// tokens.
//
// It guarantees that a refresh token is durable before the access token that came with it is
// used, that nobody refreshes one grant twice at a time on one machine, and that a failure
// never costs the refresh token that is stored.
//
// Package auth makes what is here from a profile: auth.New, auth.NewLogin, auth.Logout.
package cortex
