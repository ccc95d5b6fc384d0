package conformance

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"go.uber.org/goleak"

	"backburn/auth"
	"backburn/auth/cortex"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "canary P@ss w+rd!/=:%41&x=1"

func serviceAccount(s *strict, secret, style string) auth.Profile {
	return auth.Profile{
		Name: "wildfire", Kind: auth.KindWildFire, ClientID: clientID, ClientSecret: auth.NewSecret(secret), TSGID: "1234567890",
		TokenURL: s.URL + "/token", ClientAuth: style,
	}
}

func open(t *testing.T, p auth.Profile, opts ...auth.Option) *auth.Source {
	t.Helper()
	s, err := auth.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	return s
}

// use calls the resource with the Source's transport.
func use(t *testing.T, srv *strict, s *auth.Source) {
	t.Helper()
	client := http.Client{Transport: s.RoundTripper(&http.Transport{DisableKeepAlives: true})}
	resp, err := client.Get(srv.URL + "/resource")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the resource answered %d", resp.StatusCode)
	}
}

func host(srv *strict) auth.Option { return auth.WithHosts(strings.TrimPrefix(srv.URL, "http://")) }

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, style, secret string
		hint                string // in the error; "": it works
	}{
		{"body", auth.ClientAuthBody, secret, ""},
		{"form-encoded Basic", auth.ClientAuthBasicForm, secret, ""},
		{"raw Basic, nothing to encode", auth.ClientAuthBasicRaw, "0123-abcd-canary", ""},
		{"raw Basic, decoded into something else", auth.ClientAuthBasicRaw, "canary+1%41", `"basic-form"`},
		{"the kind's own", "", secret, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, tt.secret, nil)
			s := open(t, serviceAccount(srv, tt.secret, tt.style), host(srv))
			_, err := s.Token(t.Context())
			if tt.hint != "" {
				if !errors.Is(err, auth.ErrCredentialRejected) || !strings.Contains(err.Error(), tt.hint) || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v, want ErrCredentialRejected that names %s", err, tt.hint)
				}
			} else if err != nil {
				t.Fatal(err)
			} else {
				use(t, srv, s)
				if st := s.Status(); st.Expires.Sub(st.Obtained) > lifespan || st.Expires.Sub(st.Obtained) < lifespan-2*time.Second || st.ClockSkew.Abs() > 2*time.Second {
					t.Errorf("status %+v, want a life of %v and no skew", st, lifespan)
				}
			}

			if srv.count() != 1 {
				t.Errorf("%d token requests, want 1", srv.count())
			}
		})
	}
}

func TestErrorsOfAStrictServerAreClassified(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*auth.Profile)
		code string
	}{
		{"wrong secret", func(p *auth.Profile) { p.ClientSecret = auth.NewSecret("canary-other") }, "invalid_client"},
		{"unknown client", func(p *auth.Profile) { p.ClientID = "nobody" }, "invalid_client"},
		{"another scope", func(p *auth.Profile) { p.Scope = "tsg_id:1" }, "invalid_scope"},
		{"another audience", func(p *auth.Profile) { p.Audience = "wgc-2" }, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, secret, nil)
			p := serviceAccount(srv, secret, "")
			tt.edit(&p)
			_, err := open(t, p).Token(t.Context())
			var ae *auth.AuthError
			if !errors.Is(err, auth.ErrCredentialRejected) || !errors.As(err, &ae) || ae.Code != tt.code {
				t.Errorf("got %v, want code %s", err, tt.code)
			}
		})
	}

	t.Run("the right audience", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, secret, nil)
		p := serviceAccount(srv, secret, "")
		p.Audience = audience
		s := open(t, p, host(srv))
		use(t, srv, s)
	})
}

func hubProfile(t *testing.T, srv *strict) auth.Profile {
	t.Helper()
	return auth.Profile{
		Name: "hub", Kind: auth.KindCortex, ClientID: clientID, ClientSecret: auth.NewSecret(secret), Scope: scope,
		TokenURL: srv.URL + "/token", AuthorizeURL: srv.URL + "/authorize", RedirectURL: redirectURL, InstanceID: "9007199254740993",
		Region: "americas", GrantFile: filepath.Join(t.TempDir(), "state", "grant"),
	}
}

// authorize opens a URL as a browser would and returns where it is sent.
func authorize(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	return resp.Header.Get("Location")
}

func login(t *testing.T, p auth.Profile) {
	t.Helper()
	l, err := auth.NewLogin(p, cortex.HubParams{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Complete(t.Context(), authorize(t, l.Begin())); err != nil {
		t.Fatal(err)
	}
}

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	for name, pkce := range map[string]bool{"plain": false, "PKCE enforced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, secret, func(c *fosite.Config) { c.EnforcePKCE = pkce })
			p := hubProfile(t, srv)
			p.PKCE = pkce
			login(t, p)
			for range 5 { // every refresh replaces the refresh token
				s := open(t, p, host(srv))
				use(t, srv, s)
				_ = s.Close()
			}

			if len(srv.errors) != 0 {
				t.Errorf("the server refused %v", srv.errors)
			}
		})
	}
}

func TestCodeCanBeUsedOnce(t *testing.T) {
	t.Parallel()
	srv := serve(t, secret, nil)
	p := hubProfile(t, srv)
	first, err := auth.NewLogin(p, cortex.HubParams{})
	if err != nil {
		t.Fatal(err)
	}
	callback := authorize(t, first.Begin())
	if _, err := first.Complete(t.Context(), callback); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Complete(t.Context(), callback); !errors.Is(err, auth.ErrState) {
		t.Errorf("second use: %v, want ErrState", err)
	}
	if srv.count() != 1 {
		t.Errorf("%d exchanges, want 1", srv.count())
	}
}

// TestRefreshesDoNotOverlap runs many Sources, each with its own token cache, on one
// grant file. This server revokes the whole grant when a refresh token is used twice.
func TestRefreshesDoNotOverlap(t *testing.T) {
	t.Parallel()
	srv := serve(t, secret, nil)
	p := hubProfile(t, srv)
	login(t, p)
	var wg sync.WaitGroup
	for range 12 {
		s := open(t, p, host(srv))
		wg.Go(func() {
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if srv.count() != 13 || len(srv.errors) != 0 {
		t.Errorf("%d token requests, refused %v; want 13 and none", srv.count(), srv.errors)
	}
}

// TestOldRefreshTokenIsRejected restores an old refresh token, as from a backup.
func TestOldRefreshTokenIsRejected(t *testing.T) {
	t.Parallel()
	srv := serve(t, secret, nil)
	p := hubProfile(t, srv)
	login(t, p)
	grant := readFile(t, p.GrantFile)
	for range 2 {
		s := open(t, p)
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}

		_ = s.Close()
	}

	writeFile(t, p.GrantFile, grant)
	_, err := open(t, p).Token(t.Context())
	if !errors.Is(err, auth.ErrReauthorize) || !strings.Contains(err.Error(), "9007199254740993") {
		t.Errorf("got %v, want ErrReauthorize that names the instance", err)
	}

	login(t, p)
	use(t, srv, open(t, p, host(srv)))
}
