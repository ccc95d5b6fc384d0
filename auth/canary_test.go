package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/auth/cortex"
	"backburn/internal/testkit/logbuf"
)

// canaries are the secrets that tests use; no output may contain them.
var canaries = []string{"canary-secret-0b7e", "canary-api-key-51ce", "canary-refresh", "canary p@ss:w+rd!/="}

// encodings returns the forms in which a secret could appear.
func encodings(secret string) []string {
	return []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(":"+secret)), "=")[2:],
	}
}

// checkNoSecret checks that an error shows no secret under any verb.
func checkNoSecret(t *testing.T, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		noSecret(t, "error "+verb, fmt.Sprintf(verb, err), canaries...)
	}
}

// noSecret checks that text contains none of the secrets in any encoding.
func noSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range encodings(secret) {
			if form != "" && strings.Contains(text, form) {
				t.Errorf("%s shows the secret %q as %q: %.300s", where, secret, form, text)
			}
		}
	}
}

// output collects everything that a Source writes for people.
type output struct{ logbuf.Buffer }

// show writes err under every verb, and through both kinds of logger.
func (s *output) show(err error) {
	if err == nil {
		return
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, verb := range []string{"%v\n", "%+v\n", "%#v\n", "%q\n"} {
			fmt.Fprintf(s, verb, e)
		}
	}
	var ae *auth.AuthError
	if errors.As(err, &ae) {
		fmt.Fprintf(s, "%+v %#v\n", *ae, *ae)
	}
	slog.New(slog.NewTextHandler(s, nil)).Error("x", "err", err)
	slog.New(slog.NewJSONHandler(s, nil)).Error("x", "err", err)
	log := zerolog.New(s)
	log.Error().Err(err).Interface("err2", err).Msg("x")
}

// TestNoOutputContainsASecret runs every flow and every failure of it with debug logging, and
// searches all output for the secrets and every issued token.
func TestNoOutputContainsASecret(t *testing.T) {
	t.Parallel()
	const (
		secret   = "canary p@ss:w+rd!/="
		apiKey   = "canary-api-key-51ce"
		cacheKey = "canary-secret-0b7e"
	)
	out := &output{}
	registry := prometheus.NewRegistry()
	tokens, grants := authtest.NewBucket(), authtest.NewBucket()
	state := t.TempDir()
	cache := secretFileOf(t, cacheKey)
	var issued []string

	options := func() []auth.Option {
		return []auth.Option{
			auth.WithLogger(zerolog.New(out).Level(zerolog.DebugLevel)), auth.WithMetrics(registry), auth.WithBucket(tokens),
			auth.WithGrantsBucket(grants), auth.WithFreshFor(0),
		}
	}
	// use creates a Source, gets tokens with the faults injected, and writes all its output to out.
	use := func(p auth.Profile, srv *authtest.Server, faults ...authtest.Fault) {
		t.Helper()
		fmt.Fprintf(out, "%v %+v %#v\n", p, p, p)
		for i := -1; i < len(faults); i++ {
			s, err := auth.New(p, options()...)
			if err != nil {
				t.Fatal(err)
			}

			if i >= 0 {
				srv.Fail(faults[i], faults[i], faults[i])
				if old, err := s.Token(t.Context()); err == nil {
					s.Rejected(old)
				}
			}

			got, err := s.Token(t.Context())
			out.show(err)
			fmt.Fprintf(out, "%v %+v\n", s.Status(), s.Status())
			if raw, err := json.Marshal(s.Status()); err == nil {
				_, _ = out.Write(raw)
			}

			s.Rejected(got)
			s.Rejected(got)
			_, err = s.Token(t.Context())
			out.show(err)
			families, err := registry.Gather()
			if err != nil {
				t.Error(err)
			}

			for _, f := range families {
				fmt.Fprintln(out, f.String())
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}

			tokens.Wipe()
		}

		issued = append(issued, srv.Issued()...)
	}
	id := wildfireProfile().ClientID
	basic := base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
	echo := "client_secret=" + url.QueryEscape(secret) + " " + secret + " Authorization: Basic " + basic + " eyJhbGciOiJub25lIn0.e30.sig"
	quoted, _ := json.Marshal(echo)
	faults := []authtest.Fault{
		{Status: 500, Body: "<pre>" + echo + "</pre>", Header: map[string]string{"Content-Type": "text/html"}},
		{Status: 400, Body: `{"error":"invalid_client","error_description":` + string(quoted) + `}`},
		{Status: 200, Body: `{"error":` + string(quoted) + `}`},
		{Status: 403, Body: `{"Message":` + string(quoted) + `}`},
		{Status: 200, Body: `{"access_token":` + string(quoted) + `}`},
		{Status: 200, Body: `{"token":` + string(quoted)},
		{Status: 307, Header: map[string]string{"Location": "/x?" + url.QueryEscape(echo)}},
		{Status: 429, Header: map[string]string{"Retry-After": "0", "Content-Type": echo}},
		{Cut: true},
	}
	for _, style := range []string{auth.ClientAuthBasicRaw, auth.ClientAuthBasicForm, auth.ClientAuthBody} {
		srv := serve(t, authtest.Config{ClientID: id, ClientSecret: secret, ClientAuth: style})
		p := wildfireProfile()
		p.ClientSecret = auth.NewSecret(secret)
		p.ClientAuth = style
		p.TokenURL = srv.TokenURL()
		use(p, srv, faults...)
		srv.SetSecret("other")
		use(p, srv)
	}

	wg := serve(t, authtest.Config{ClientID: "0123abcd_rw_id", ClientSecret: secret, APIKey: apiKey})
	p := auth.Profile{
		Name: "watchguard", Kind: auth.KindWatchGuard, ClientID: "0123abcd_rw_id", ClientSecretFile: secretFileOf(t, secret),
		APIKeyFile: secretFileOf(t, apiKey), CacheKeyFile: cache, TokenURL: wg.TokenURL(), URL: wg.URL,
	}
	use(p, wg, faults...)
	_, err := auth.LookupAudience(t.Context(), p, "WGC-1", auth.WithLogger(zerolog.New(out)))
	out.show(err)

	hub := cortexServer(t, func(c *authtest.Config) { c.ClientSecret, c.Roll = secret, true })
	p = cortexProfile(t, hub)
	p.ClientSecret, p.GrantFile = auth.NewSecret(secret), filepath.Join(state, "grant")
	login(t, p, options()...)
	use(p, hub, faults...)
	l, err := auth.NewLogin(p, cortex.HubParams{}, options()...)
	if err != nil {
		t.Fatal(err)
	}

	for _, query := range []string{"?code=canary-refresh&state=canary-refresh", "?error=access_denied&error_description=" + url.QueryEscape(echo)} {
		_, err = l.Complete(t.Context(), p.RedirectURL+query)
		out.show(err)
	}

	out.show(auth.Logout(t.Context(), p, options()...))
	hub.SetSecret("other")
	out.show(auth.Logout(t.Context(), p, options()...))

	p = auth.Profile{Name: "legacy", Kind: auth.KindAPIKey, APIKeyFile: secretFileOf(t, apiKey)}
	use(p, hub)

	for _, b := range []*authtest.Bucket{tokens, grants} {
		if len(b.History()) == 0 {
			t.Error("a bucket was never written")
		}

		for _, value := range b.History() {
			_, _ = out.Write(value)
		}

		fmt.Fprintln(out, b.Keys())
	}

	for _, f := range []string{"grant", "grant.lock"} {
		raw, err := os.ReadFile(filepath.Join(state, f))
		if err != nil {
			t.Fatal(err)
		}

		_, _ = out.Write(raw)
	}

	if len(issued) < 20 || len(out.String()) < 100_000 {
		t.Errorf("only %d tokens and %d bytes: the flows did not run", len(issued), len(out.String()))
	}

	noSecret(t, "output", out.String(), append([]string{secret, apiKey, cacheKey, basic}, issued...)...)
}
