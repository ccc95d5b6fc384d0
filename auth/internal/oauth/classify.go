package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"backburn/auth/internal/secret"
)

// knownCodes are the error codes that operators see unchanged: RFC 6749 sections 4.1.2.1 and 5.2,
// RFC 7009, and "unauthorized" of the Data Security API.
var knownCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
	"unsupported_token_type", "unauthorized", "invalid_token", "slow_down",
}

// KnownCode returns code if it is safe to repeat, otherwise "other", or "" for none.
func KnownCode(code string) string {
	if code == "" || slices.Contains(knownCodes, code) {
		return code
	}
	return "other"
}

// classify returns the error for a failed request, with one class. err is the error of the
// transport or of x/oauth2. If there is an answer, the text of err is not used, because it may
// repeat the answer.
func (c Client) classify(op string, password secret.Secret, seen answer, err error, scrub Scrubber) *Error {
	e := &Error{
		Profile:    c.Profile,
		Op:         op,
		Status:     seen.status,
		Code:       KnownCode(seen.code),
		Desc:       scrub.Clean(seen.desc),
		RetryAfter: seen.retryAfter,
		Class:      ErrTemporary,
	}
	if !seen.received || seen.tooLarge || seen.status/100 == 2 && err != nil && e.Code == "" {
		return e.describeFailure(seen, err, scrub)
	}

	if !c.classifyCode(e, password) {
		c.classifyStatus(e, password)
	}

	return e
}

// classifyCode sets the class by the error code. It returns false if the code does not determine
// the class.
func (c Client) classifyCode(e *Error, password secret.Secret) bool {
	switch e.Code {
	case "server_error", "temporarily_unavailable", "slow_down":
		return true // e is temporary already
	case "invalid_grant":
		e.Refuse(ErrReauthorize, c.Hints.Grant)
		return true
	case "invalid_client", "unauthorized":
		e.Refuse(ErrCredentialRejected, c.clientHint(password))
		return true
	case "unauthorized_client":
		if e.Status != http.StatusOK {
			e.Refuse(ErrCredentialRejected, c.clientHint(password))
			return true
		}
	case "invalid_scope":
		e.Refuse(ErrCredentialRejected, c.Hints.Scope)
		return true
	case "unsupported_grant_type", "access_denied", "invalid_request":
	default:
		return false
	}

	e.Refuse(ErrCredentialRejected, "check that token_url matches the kind of the profile")

	return true
}

// classifyStatus sets the class by the HTTP status.
func (c Client) classifyStatus(e *Error, password secret.Secret) {
	switch status := e.Status; {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		// e is temporary already
	case status >= 300 && status < 400:
		e.Hint = "redirects are not followed, because they would receive the credentials; check token_url"
	case status == http.StatusUnauthorized, status == http.StatusBadRequest && c.BadRequest:
		e.Refuse(ErrCredentialRejected, c.clientHint(password))
	case status >= 400:
		e.Refuse(ErrCredentialRejected, "check token_url")
	}
}

// Refuse makes e a permanent error.
func (e *Error) Refuse(class error, hint string) {
	e.Class = class
	e.Permanent = true
	e.Hint = hint
}

// describeFailure sets Desc and Hint for a request without a usable answer.
func (e *Error) describeFailure(seen answer, err error, scrub Scrubber) *Error {
	const checkNetwork = "check the network, the proxy settings and token_url"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Desc = "no answer in time"
		e.Hint = checkNetwork
	case errors.Is(err, context.Canceled):
		e.Desc = "canceled"
	case seen.tooLarge:
		e.Desc = "the answer is larger than 1 MiB"
		e.Hint = "check token_url"
	case seen.received:
		e.Desc = scrub.Clean(fmt.Sprintf("no token in an answer of %d bytes of %q", seen.size, seen.mediaType))
		e.Hint = "check token_url; a proxy may have answered"
	case err != nil:
		e.Desc = scrub.Clean(rootText(err))
		e.Hint = checkNetwork
	}

	return e
}

// rootText returns the text of the innermost error, because outer errors repeat the URL.
func rootText(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return withoutQuotation(err)
		}
		err = next
	}
}

// clientHint says what to check when a client is refused. If the two Basic encodings differ for
// these credentials, it suggests the other one.
func (c Client) clientHint(password secret.Secret) string {
	if !needsEscaping(c.ID) && !needsEscaping(password.Reveal()) {
		return c.Hints.Client
	}

	other := map[string]string{AuthBasicRaw: AuthBasicForm, AuthBasicForm: AuthBasicRaw}[c.Auth]
	if other == "" {
		return c.Hints.Client
	}

	return fmt.Sprintf("%s; they contain characters that %s encodes differently: the server may need client_auth = %q or %q",
		c.Hints.Client, other, other, AuthBody)
}

// needsEscaping reports whether form-encoding changes text.
func needsEscaping(text string) bool {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
	return strings.Trim(text, plain) != ""
}
