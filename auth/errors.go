package auth

import (
	"errors"

	"backburn/auth/cortex"
	"backburn/auth/internal/oauth"
)

// What callers branch on, with errors.Is. Every error of a Source is an *[AuthError] that
// matches one of the first three, except for the caller's own context errors and ErrClosed.
var (
	// ErrTemporary: nothing is wrong with the credential as far as is known; try again
	// after AuthError.RetryAfter.
	ErrTemporary = oauth.ErrTemporary

	// ErrCredentialRejected: the token endpoint refuses the client, or the service refuses
	// a token that it was just given. New tokens do not cure it; a person may have to.
	ErrCredentialRejected = oauth.ErrCredentialRejected

	// ErrReauthorize: the grant is missing, expired or revoked: log in again.
	ErrReauthorize = oauth.ErrReauthorize

	// ErrClosed: the Source was closed.
	ErrClosed = errors.New("auth: source closed")
)

// AuthError is why there is no token. It names the profile, what was being done, the HTTP
// status (0: no answer came) and error code of the answer, and what an operator can do.
// RetryAfter says when somebody asks again, and Permanent whether the same request would fail
// the same way. It carries no body, header, secret or token, under any verb.
type AuthError = oauth.Error

// What a callback of a login can be refused for.
var (
	ErrState    = cortex.ErrState
	ErrCallback = cortex.ErrCallback
)
