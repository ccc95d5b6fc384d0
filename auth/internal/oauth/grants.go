package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"backburn/auth/internal/secret"
)

// ClientCredentials performs the grant of RFC 6749 section 4.4.
func (c Client) ClientCredentials(ctx context.Context, password secret.Secret) (Minted, error) {
	conf := clientcredentials.Config{TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInParams}
	if c.Scope != "" {
		conf.Scopes = []string{c.Scope}
	}
	if c.Audience != "" {
		conf.EndpointParams = url.Values{"audience": {c.Audience}}
	}

	return c.perform(ctx, "token request", password, nil, conf.Token)
}

// Refresh performs the grant of RFC 6749 section 6. If the answer has no refresh token, the result
// contains token.
func (c Client) Refresh(ctx context.Context, password, token secret.Secret) (Minted, error) {
	return c.perform(ctx, "token refresh", password, []string{token.Reveal()}, func(ctx context.Context) (*oauth2.Token, error) {
		return c.codeConfig().TokenSource(ctx, &oauth2.Token{RefreshToken: token.Reveal()}).Token()
	})
}

// Exchange redeems an authorization code, RFC 6749 section 4.1.3. verifier is the PKCE
// code verifier, or "".
func (c Client) Exchange(ctx context.Context, password secret.Secret, code, verifier string) (Minted, error) {
	var opts []oauth2.AuthCodeOption
	if verifier != "" {
		opts = append(opts, oauth2.VerifierOption(verifier))
	}
	return c.perform(ctx, "code exchange", password, []string{code, verifier}, func(ctx context.Context) (*oauth2.Token, error) {
		return c.codeConfig().Exchange(ctx, code, opts...)
	})
}

// Revoke revokes a refresh token as in RFC 7009, but with the answer of the Cortex hub, which says
// in "issuccess" whether the token was revoked.
func (c Client) Revoke(ctx context.Context, endpoint string, password, token secret.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()

	const op = "revocation"
	transport := &formTransport{client: c, password: password}
	scrub := NewScrubber(c.ID, token.Reveal(), password.Reveal())
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"refresh_token"}}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return c.classify(op, password, transport.seen, err, scrub)
	}

	resp, err := transport.RoundTrip(req)
	if err != nil {
		return c.classify(op, password, transport.seen, err, scrub)
	}
	defer resp.Body.Close()

	var answer struct {
		Success *string `json:"issuccess"` // the hub sends a string
	}
	_ = json.NewDecoder(resp.Body).Decode(&answer) // an empty answer means success
	if transport.seen.status/100 != 2 || transport.seen.code != "" || answer.Success != nil && *answer.Success != "true" {
		return c.classify(op, password, transport.seen, nil, scrub)
	}

	return nil
}

// codeConfig returns the configuration of the code flow for x/oauth2. It leaves out the client's ID
// and secret, because formTransport adds them.
func (c Client) codeConfig() *oauth2.Config {
	return &oauth2.Config{
		RedirectURL: c.RedirectURL,
		Endpoint:    oauth2.Endpoint{TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// perform makes the request of one grant and turns any failure into an *Error. hidden are the
// secrets in the request besides the client's.
func (c Client) perform(ctx context.Context, op string, password secret.Secret, hidden []string,
	grant func(context.Context) (*oauth2.Token, error),
) (Minted, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()

	transport := &formTransport{client: c, password: password}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	token, err := grant(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err == nil {
		err = checkBearer(token)
	}

	if err != nil {
		scrub := NewScrubber(c.ID, append(hidden, password.Reveal())...)
		return Minted{}, c.classify(op, password, transport.seen, err, scrub)
	}

	return c.minted(token, transport.seen), nil
}

// minted returns a token with its life and the clock skew.
func (c Client) minted(token *oauth2.Token, seen answer) Minted {
	m := Minted{
		Value:   token.AccessToken,
		Refresh: token.RefreshToken,
		Sent:    seen.sent,
		Life:    parseLifetime(seen.expires, c.Lifetime),
	}
	if stated, ok := parseClaims(m.Value); ok {
		m.Skew = stated.skew(seen.sent)
		m.Skewed = true
		m.Life = m.Life.shorten(stated)
	}

	return m
}

// checkBearer checks that a token can be sent as a bearer token: RFC 6750 section 2.1.
func checkBearer(token *oauth2.Token) error {
	if t := token.Type(); t != "Bearer" {
		return errors.New("the token is not a bearer token")
	}
	if strings.ContainsFunc(token.AccessToken, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		return errors.New("the token contains characters that are not allowed in a header")
	}
	return nil
}
