package auth

import (
	"errors"

	"backburn/auth/cortex"
	"backburn/auth/internal/oauth"
)

// Errors that callers test for with errors.Is. Every error of a Source is an *[AuthError] that
// matches one of the first three, except for the caller's own context errors and ErrClosed.
var (
	// ErrTemporary: the credential may be valid; try again after AuthError.RetryAfter.
	ErrTemporary = oauth.ErrTemporary

	// ErrCredentialRejected: the token endpoint refuses the client, or the service refuses a new
	// token. Requesting another token does not help; an operator has to act.
	ErrCredentialRejected = oauth.ErrCredentialRejected

	// ErrReauthorize: the grant is missing, expired or revoked: log in again.
	ErrReauthorize = oauth.ErrReauthorize

	// ErrClosed: the Source was closed.
	ErrClosed = errors.New("auth: source closed")
)

// AuthError is the reason why there is no token. It has the profile, the operation, the HTTP status
// (0 without an answer) and error code of the answer, and a hint for operators. RetryAfter says
// when the next request is made, and Permanent whether the same request would fail again. It
// contains no body, header, secret or token, whatever the formatting verb.
type AuthError = oauth.Error

// Reasons to refuse the callback of a login.
var (
	ErrState    = cortex.ErrState
	ErrCallback = cortex.ErrCallback
)
