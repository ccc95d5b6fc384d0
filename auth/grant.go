package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// minted is a token as it came from a token endpoint.
type minted struct {
	value   string
	refresh string // refresh token in the same answer; "" where none came
	sent    time.Time
	life    lifetime
	skew    time.Duration // this machine's clock minus the issuer's
	skewed  bool          // skew is known
}

// grants performs single grants of RFC 6749 for one profile. It keeps nothing but what it
// was given; each call is one request, or fails before it.
type grants struct {
	profile   Profile
	transport http.RoundTripper
	userAgent string
}

// clientCredentials performs the grant of RFC 6749 section 4.4.
func (g grants) clientCredentials(ctx context.Context, secret Secret) (minted, error) {
	conf := clientcredentials.Config{
		TokenURL: g.profile.tokenURL(), EndpointParams: g.profile.grantParams(), AuthStyle: oauth2.AuthStyleInParams,
	}
	if scope := g.profile.scope(); scope != "" {
		conf.Scopes = []string{scope}
	}
	return g.perform(ctx, "token request", secret, nil, func(ctx context.Context) (*oauth2.Token, error) {
		return conf.Token(ctx)
	})
}

// refresh performs the grant of RFC 6749 section 6.
func (g grants) refresh(ctx context.Context, secret, token Secret) (minted, error) {
	return g.perform(ctx, "token refresh", secret, []string{token.Reveal()}, func(ctx context.Context) (*oauth2.Token, error) {
		return g.codeConfig().TokenSource(ctx, &oauth2.Token{RefreshToken: token.Reveal()}).Token()
	})
}

// exchange redeems an authorization code, RFC 6749 section 4.1.3. verifier is the PKCE
// code verifier, or "".
func (g grants) exchange(ctx context.Context, secret Secret, code, verifier string) (minted, error) {
	var opts []oauth2.AuthCodeOption
	if verifier != "" {
		opts = append(opts, oauth2.VerifierOption(verifier))
	}
	return g.perform(ctx, "code exchange", secret, []string{code, verifier}, func(ctx context.Context) (*oauth2.Token, error) {
		return g.codeConfig().Exchange(ctx, code, opts...)
	})
}

// codeConfig leaves out the client's id and secret: wire adds them.
func (g grants) codeConfig() *oauth2.Config {
	return &oauth2.Config{
		RedirectURL: g.profile.RedirectURL,
		Endpoint:    oauth2.Endpoint{TokenURL: g.profile.tokenURL(), AuthStyle: oauth2.AuthStyleInParams},
	}
}

// perform runs one grant over a wire of its own and makes an *AuthError of any failure.
// hidden are the secrets, besides the client's, that the request carries.
func (g grants) perform(ctx context.Context, op string, secret Secret, hidden []string,
	grant func(context.Context) (*oauth2.Token, error),
) (minted, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	w := &wire{
		base: g.transport, userAgent: g.userAgent, json: g.profile.Body == BodyJSON,
		client: clientIdentity{id: g.profile.ClientID, secret: secret, style: g.profile.clientAuth()},
	}
	client := &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	token, err := grant(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err == nil {
		err = usable(token)
	}
	if err != nil {
		p := g.profile
		p.ClientSecret = secret // the one that was sent: it may have come from a file
		return minted{}, classify(p, op, w.seen, err, newScrubber(p.ClientID, append(hidden, secret.Reveal())...))
	}
	return g.accept(token, w.seen), nil
}

// accept works out how long a token lives, and how wrong the clock is.
func (g grants) accept(token *oauth2.Token, seen answer) minted {
	m := minted{value: token.AccessToken, refresh: token.RefreshToken, sent: seen.sent}
	m.life = parseLifetime(seen.expires, presets[g.profile.Kind].lifetime)
	if c, ok := parseClaims(m.value); ok {
		m.skew, m.skewed = c.skew(seen.sent), true
		m.life = m.life.shorten(c)
	}
	return m
}

// usable checks that a token can be sent as a bearer token: RFC 6750 section 2.1.
func usable(token *oauth2.Token) error {
	if t := token.Type(); t != "Bearer" {
		return fmt.Errorf("the token is of another type than bearer")
	}
	if strings.ContainsFunc(token.AccessToken, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		return fmt.Errorf("the token holds characters that no header can carry")
	}
	return nil
}

// form posts values to an endpoint that is not for tokens, as the client: revocation.
func (g grants) form(ctx context.Context, op, endpoint string, secret Secret, values url.Values, hidden ...string) error {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	w := &wire{
		base: g.transport, userAgent: g.userAgent, json: g.profile.Body == BodyJSON,
		client: clientIdentity{id: g.profile.ClientID, secret: secret, style: g.profile.clientAuth()},
	}
	scrub := newScrubber(g.profile.ClientID, append(hidden, secret.Reveal())...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(values.Encode()))
	if err != nil {
		return classify(g.profile, op, w.seen, err, scrub)
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return classify(g.profile, op, w.seen, err, scrub)
	}
	defer resp.Body.Close()
	var answer struct {
		Success *string `json:"issuccess"` // a string, as the hub has it
	}
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	if w.seen.status/100 != 2 || w.seen.code != "" || answer.Success != nil && *answer.Success != "true" {
		return classify(g.profile, op, w.seen, nil, scrub)
	}
	return nil
}
