package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// knownCodes are the error codes that are repeated to operators as they came: RFC 6749
// sections 4.1.2.1 and 5.2, RFC 7009, and "unauthorized" of the Data Security API.
var knownCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
	"unsupported_token_type", "unauthorized", "invalid_token", "slow_down",
}

func knownCode(code string) string {
	if code == "" || slices.Contains(knownCodes, code) {
		return code
	}
	return "other"
}

// classify turns what a token endpoint said into an error with one class. err is what the
// transport or x/oauth2 made of it; only its kind is used, never its text, where an answer
// came.
func classify(p Profile, op string, seen answer, err error, scrub scrubber) *AuthError {
	e := &AuthError{
		Profile: p.Name, Op: op, Status: seen.status, Code: knownCode(seen.code),
		Desc: scrub.clean(seen.desc), RetryAfter: seen.retryAfter, class: ErrTemporary,
	}
	if !seen.came || seen.tooLarge || seen.status/100 == 2 && err != nil && e.Code == "" {
		return e.unusable(seen, err, scrub)
	}
	switch {
	case e.Code == "server_error" || e.Code == "temporarily_unavailable" || e.Code == "slow_down":
	case e.Code == "invalid_grant":
		e.class, e.Permanent, e.Hint = ErrReauthorize, true, reauthorizeHint(p)
	case e.Code == "invalid_client" || e.Code == "unauthorized" || e.Code == "unauthorized_client" && seen.status != http.StatusOK:
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, clientHint(p)
	case e.Code == "invalid_scope":
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, "check scope (tsg_id for kind wildfire) and the roles of the account"
	case e.Code == "unsupported_grant_type" || e.Code == "unauthorized_client" || e.Code == "access_denied" || e.Code == "invalid_request":
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, "check that token_url and the kind of the profile belong together"
	case seen.status == http.StatusRequestTimeout || seen.status == http.StatusTooEarly || seen.status == http.StatusTooManyRequests || seen.status >= 500:
	case seen.status >= 300 && seen.status < 400:
		e.Hint = "redirects are not followed, because the credentials would travel along; check token_url"
	case seen.status == http.StatusUnauthorized:
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, clientHint(p)
	case seen.status == http.StatusBadRequest && presets[p.Kind].any400:
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, clientHint(p)
	case seen.status >= 400:
		e.class, e.Permanent, e.Hint = ErrCredentialRejected, true, "check token_url"
	}
	return e
}

// unusable describes a request without a usable answer.
func (e *AuthError) unusable(seen answer, err error, scrub scrubber) *AuthError {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Desc, e.Hint = "no answer in time", "check the network, the proxy settings and token_url"
	case errors.Is(err, context.Canceled):
		e.Desc = "canceled"
	case seen.tooLarge:
		e.Desc, e.Hint = "the answer is larger than 1 MiB", "check token_url"
	case seen.came:
		e.Desc = scrub.clean(fmt.Sprintf("no token in an answer of %d bytes of %q", seen.size, seen.mediaType))
		e.Hint = "check token_url; a proxy may have answered"
	case err != nil:
		e.Desc = scrub.clean(rootText(err))
		e.Hint = "check the network, the proxy settings and token_url"
	}
	return e
}

// rootText returns the innermost error's text: the outer ones repeat the URL.
func rootText(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func reauthorizeHint(p Profile) string {
	if p.Kind != KindCortex {
		return "check client_id and client_secret"
	}
	what := "backburn login " + p.Name
	if p.InstanceID != "" {
		what += " for instance " + p.InstanceID
	}
	return "the grant is unknown, expired or revoked: authorize again with " + what
}

// clientHint says what to check when a client is refused, and names the other spelling of
// Basic where the two differ for these very credentials.
func clientHint(p Profile) string {
	hint := "check client_id and client_secret"
	switch p.Kind {
	case KindWildFire:
		hint += " and that the service account still exists"
	case KindDataSecurity, KindWatchGuard:
		hint += " and the region"
	}
	if special(p) {
		switch p.clientAuth() {
		case ClientAuthBasicRaw:
			hint += "; they hold characters that basic-form spells differently: the server may want client_auth = \"basic-form\" or \"body\""
		case ClientAuthBasicForm:
			hint += "; they hold characters that basic-raw spells differently: the server may want client_auth = \"basic-raw\" or \"body\""
		}
	}
	return hint
}

// special reports whether form-encoding changes the id or the secret.
func special(p Profile) bool {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
	return strings.Trim(p.ClientID, plain) != "" || strings.Trim(p.ClientSecret.Reveal(), plain) != ""
}
