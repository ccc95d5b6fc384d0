package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What callers branch on, with errors.Is. Every error of a Source is an *[AuthError] that
// matches one of them, except for the caller's own context errors and ErrClosed.
var (
	// ErrTemporary: nothing is wrong with the credential as far as is known; try again
	// after AuthError.RetryAfter.
	ErrTemporary = errors.New("auth: temporary failure")

	// ErrCredentialRejected: the token endpoint refuses the client, or the service refuses
	// a token that it was just given. New tokens do not cure it; a person may have to.
	ErrCredentialRejected = errors.New("auth: credential rejected")

	// ErrReauthorize: the grant is missing, expired or revoked: log in again.
	ErrReauthorize = errors.New("auth: authorization required")

	// ErrClosed: the Source was closed.
	ErrClosed = errors.New("auth: source closed")
)

// AuthError is why there is no token. It carries a status and codes, never a body, a
// header, a secret or a token, under any verb.
type AuthError struct {
	Profile    string        // the profile's name
	Op         string        // what was being done, such as "token request"
	Status     int           // HTTP status of the answer; 0: none came
	Code       string        // error code of RFC 6749 section 5.2 or the vendor's, "other" for any else
	Desc       string        // the server's own words, scrubbed and at most 200 bytes
	Hint       string        // what an operator can do about it
	RetryAfter time.Duration // nobody is asked again before; 0: not said
	Permanent  bool          // the same request will fail the same way

	class    error  // one of the sentinels
	revision uint64 // of the shared record that says so; 0: none does
}

// Error says what failed, with the server's status and code, and what to do.
func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "auth %s: %s", e.Profile, e.Op)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ": %s", e.Code)
	}
	if e.Desc != "" {
		fmt.Fprintf(&b, " (%s)", e.Desc)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; again in %v", e.RetryAfter.Round(time.Millisecond))
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the class: ErrTemporary, ErrCredentialRejected or ErrReauthorize. What lies
// below is not wrapped: it may hold a request, and a deadline of a token request must not be
// taken for the caller's own.
func (e *AuthError) Unwrap() error { return e.class }

// Temporary reports whether waiting may cure it.
func (e *AuthError) Temporary() bool { return errors.Is(e.class, ErrTemporary) }

// after returns a copy that says how long it now is until somebody asks again.
func (e *AuthError) after(d time.Duration) *AuthError {
	out := *e
	out.RetryAfter = d
	return &out
}
