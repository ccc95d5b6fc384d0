package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What callers branch on, with errors.Is. Every *Error matches one of them.
var (
	// ErrTemporary: nothing is wrong with the credential as far as is known; try again
	// after Error.RetryAfter.
	ErrTemporary = errors.New("auth: temporary failure")

	// ErrCredentialRejected: the token endpoint refuses the client, or the service refuses
	// a token that it was just given. New tokens do not cure it; a person may have to.
	ErrCredentialRejected = errors.New("auth: credential rejected")

	// ErrReauthorize: the grant is missing, expired or revoked: log in again.
	ErrReauthorize = errors.New("auth: authorization required")
)

// Error is why there is no token. It carries a status and codes, never a body, a
// header, a secret or a token, under any verb.
type Error struct {
	Profile    string        // the profile's name
	Op         string        // what was being done, such as "token request"
	Status     int           // HTTP status of the answer; 0: none came
	Code       string        // error code of RFC 6749 section 5.2 or the vendor's, "other" for any else
	Desc       string        // the server's own words, scrubbed and at most 200 bytes
	Hint       string        // what an operator can do about it
	RetryAfter time.Duration // nobody is asked again before; 0: not said
	Permanent  bool          // the same request will fail the same way

	Class error // ErrTemporary, ErrCredentialRejected or ErrReauthorize
}

// Error says what failed, with the server's status and code, and what to do.
func (e *Error) Error() string {
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
func (e *Error) Unwrap() error { return e.Class }

// Temporary reports whether waiting may cure it.
func (e *Error) Temporary() bool { return errors.Is(e.Class, ErrTemporary) }

// After returns a copy that says how long it now is until somebody asks again.
func (e *Error) After(d time.Duration) *Error {
	out := *e
	out.RetryAfter = d
	return &out
}

// Describe makes the text of err, without the secrets that scrub knows, the description.
func (e *Error) Describe(err error, scrub Scrubber) {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Desc = "not done in time"
	case errors.Is(err, context.Canceled):
		e.Desc = "canceled"
	default:
		e.Desc = scrub.Clean(err.Error())
	}
}
