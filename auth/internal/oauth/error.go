package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers test for with errors.Is. Every *Error matches one of them.
var (
	// ErrTemporary: the credential may be valid; try again after Error.RetryAfter.
	ErrTemporary = errors.New("auth: temporary failure")

	// ErrCredentialRejected: the token endpoint refuses the client, or the service refuses a new
	// token. Requesting another token does not help; an operator has to act.
	ErrCredentialRejected = errors.New("auth: credential rejected")

	// ErrReauthorize: the grant is missing, expired or revoked: log in again.
	ErrReauthorize = errors.New("auth: authorization required")
)

// Error is the reason why there is no token. It contains a status and codes, never a body, a
// header, a secret or a token, whatever the formatting verb.
type Error struct {
	Profile    string        // the profile's name
	Op         string        // operation, such as "token request"
	Status     int           // HTTP status of the answer; 0 without an answer
	Code       string        // error code of RFC 6749 section 5.2 or of the vendor; "other" for all others
	Desc       string        // the server's message, scrubbed, at most 200 bytes
	Hint       string        // instruction for operators
	RetryAfter time.Duration // time until the next request; 0 if unknown
	Permanent  bool          // the same request will fail the same way

	Class error // ErrTemporary, ErrCredentialRejected or ErrReauthorize
}

// Error returns the operation, the server's status and code, and the hint.
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
		fmt.Fprintf(&b, "; next attempt in %v", e.RetryAfter.Round(time.Millisecond))
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}

	return b.String()
}

// Unwrap returns the class: ErrTemporary, ErrCredentialRejected or ErrReauthorize. The cause is not
// wrapped: it may contain a request, and the timeout of a token request must not look like the
// caller's own.
func (e *Error) Unwrap() error { return e.Class }

// Temporary reports whether waiting may help.
func (e *Error) Temporary() bool { return errors.Is(e.Class, ErrTemporary) }

// After returns a copy whose RetryAfter is d.
func (e *Error) After(d time.Duration) *Error {
	out := *e
	out.RetryAfter = d
	return &out
}

// Describe sets Desc to the text of err, without quotations and the secrets that scrub knows.
func (e *Error) Describe(err error, scrub Scrubber) {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Desc = "timed out"
	case errors.Is(err, context.Canceled):
		e.Desc = "canceled"
	default:
		e.Desc = scrub.Clean(withoutQuotation(err))
	}
}

// withoutQuotation returns the text of err up to its first quotation. That may be a part of an
// answer that is not HTTP, or the URL of a proxy, whose password is secret.
func withoutQuotation(err error) string {
	text, _, _ := strings.Cut(err.Error(), `"`)
	return strings.TrimRight(text, " (:")
}
