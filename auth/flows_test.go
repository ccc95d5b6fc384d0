package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/auth/cortex"
)

// serve starts an authorization server for the test.
func serve(t *testing.T, c authtest.Config) *authtest.Server {
	t.Helper()
	s := authtest.NewServer(c)
	t.Cleanup(s.Close)

	return s
}

// open makes a Source with a transport of its own.
func open(t *testing.T, p auth.Profile, opts ...auth.Option) *auth.Source {
	t.Helper()
	s, err := auth.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	return s
}

// awkward are secrets that need careful encoding.
var awkward = map[string]string{
	"plain": "canary-secret-0b7e", "at": "P@ssw0rd", "colon": "a:b:c", "plus": "a+b", "percent": "100%41", "slash and equals": "a/b=",
	"space": "two words", "umlaut": "schlüssel", "exclamation": "hurra!", "all": "P@ss w+rd!/=:ü%41&x=1;",
}

// TestClientAuthentication sends awkward secrets in every style to a server of that style.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, style := range []string{auth.ClientAuthBasicRaw, auth.ClientAuthBasicForm, auth.ClientAuthBody} {
		for name, secret := range awkward {
			t.Run(style+"/"+name, func(t *testing.T) {
				t.Parallel()
				srv := serve(t, authtest.Config{ClientID: wildfireProfile().ClientID, ClientSecret: secret, ClientAuth: style, Scope: "tsg_id:1234567890"})
				p := wildfireProfile()
				p.ClientSecret = auth.NewSecret(secret)
				p.ClientAuth = style
				p.TokenURL = srv.TokenURL()
				token(t, open(t, p))
				if n := len(srv.Requests()); n != 1 {
					t.Errorf("%d token requests, want 1: styles are not guessed", n)
				}
			})
		}
	}
}

func TestErrorNamesTheOtherClientAuthentication(t *testing.T) {
	t.Parallel()
	tests := []struct{ ours, theirs, want string }{
		{auth.ClientAuthBasicForm, auth.ClientAuthBasicRaw, `"basic-raw"`},
		{auth.ClientAuthBasicRaw, auth.ClientAuthBasicForm, `"basic-form"`},
	}
	for _, tt := range tests {
		t.Run(tt.ours+" to "+tt.theirs, func(t *testing.T) {
			t.Parallel()
			const secret = "canary p@ss:w+rd!/="
			srv := serve(t, authtest.Config{ClientID: "id@1", ClientSecret: secret, ClientAuth: tt.theirs})
			p := wildfireProfile()
			p.ClientID = "id@1"
			p.ClientSecretFile = secretFileOf(t, secret)
			p.ClientSecret = auth.Secret{}
			p.ClientAuth, p.TokenURL = tt.ours, srv.TokenURL()
			_, err := open(t, p).Token(t.Context())
			if !errors.Is(err, auth.ErrCredentialRejected) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrCredentialRejected that names %s", err, tt.want)
			}
			if n := len(srv.Requests()); n != 1 {
				t.Errorf("%d token requests, want 1", n)
			}

			checkNoSecret(t, err)
		})
	}
}

func TestSecretIsReadAgainWhenRefused(t *testing.T) {
	t.Parallel()
	srv := serve(t, authtest.Config{ClientID: wildfireProfile().ClientID, ClientSecret: "canary-secret-0b7e"})
	p := wildfireProfile()
	p.ClientSecret = auth.Secret{}
	p.ClientSecretFile = secretFileOf(t, "canary-secret-0b7e")
	p.TokenURL = srv.TokenURL()
	// The file changes during the first request.
	swap := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if len(srv.Requests()) == 0 {
			srv.SetSecret("canary-refresh")
			overwrite(t, p.ClientSecretFile, "canary-refresh")
		}

		return http.DefaultTransport.RoundTrip(r)
	})
	token(t, open(t, p, auth.WithTransport(swap)))
	if n := len(srv.Requests()); n != 2 {
		t.Errorf("%d token requests, want 2: the old secret and the new one", n)
	}

	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestReplacedSecretEndsTheCooldown: replacing the secret file ends the cool-down that the old
// secret caused.
func TestReplacedSecretEndsTheCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		e.answer = func(n int, r tokenRequest) (*http.Response, error) {
			if r.form.Get("client_secret") != "canary-refresh" {
				return reply(401, `{"error":"invalid_client"}`), nil
			}

			return granted(n, "900"), nil
		}
		p := wildfireProfile()
		p.ClientSecret, p.ClientSecretFile = auth.Secret{}, secretFileOf(t, "canary-secret-0b7e")
		s := source(t, p, e)
		for range 3 {
			if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) {
				t.Fatalf("got %v, want ErrCredentialRejected", err)
			}
		}

		overwrite(t, p.ClientSecretFile, "canary-other-mistake")
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) || e.count() != 2 {
			t.Errorf("%v after %d requests, want ErrCredentialRejected and one for each secret", err, e.count())
		}

		overwrite(t, p.ClientSecretFile, "canary-refresh")
		if token(t, s); e.count() != 3 {
			t.Errorf("%d token requests, want one for each secret", e.count())
		}
	})
}

// cortexProfile is a profile that has not logged in yet.
func cortexProfile(t *testing.T, srv *authtest.Server) auth.Profile {
	t.Helper()
	return auth.Profile{
		Name: "hub", Kind: auth.KindCortex, ClientID: "app-1", ClientSecret: auth.NewSecret("canary-secret-0b7e"),
		Scope: "logging-service:read", TokenURL: srv.TokenURL(), AuthorizeURL: srv.AuthorizeURL(), RevokeURL: srv.RevokeURL(),
		RedirectURL: "http://127.0.0.1:8976/callback", InstanceID: "9007199254740993", Region: "americas",
		GrantFile: t.TempDir() + "/state/grant",
	}
}

func cortexServer(t *testing.T, edit func(*authtest.Config)) *authtest.Server {
	t.Helper()
	c := authtest.Config{
		ClientID: "app-1", ClientSecret: "canary-secret-0b7e", ClientAuth: auth.ClientAuthBody, Lifetime: time.Hour,
		RedirectURL: "http://127.0.0.1:8976/callback", InstanceID: "9007199254740993",
	}
	if edit != nil {
		edit(&c)
	}

	return serve(t, c)
}

// browse opens a URL as a browser would and returns where it is sent.
func browse(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: status %d, no redirect", address, resp.StatusCode)
	}

	return to.String()
}

// login runs the code flow without a local browser.
func login(t *testing.T, p auth.Profile, opts ...auth.Option) cortex.Authorized {
	t.Helper()
	l, err := auth.NewLogin(p, cortex.HubParams{}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	g, err := l.Complete(t.Context(), browse(t, l.Begin()))
	if err != nil {
		t.Fatal(err)
	}

	return g
}

func TestCodeFlowAndRefresh(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		server func(*authtest.Config)
		edit   func(*auth.Profile)
	}{
		{"refresh token stays", nil, nil},
		{"refresh token rolls", func(c *authtest.Config) { c.Roll = true }, nil},
		{"refresh token rolls and the old one ends at once", func(c *authtest.Config) { c.Roll, c.Strict = true, true }, nil},
		{"JSON", func(c *authtest.Config) { c.Roll = true }, func(p *auth.Profile) { p.Body = auth.BodyJSON }},
		{"PKCE", nil, func(p *auth.Profile) { p.PKCE = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, tt.server)
			srv.Edit(func(answer map[string]any) { answer["expires_in"] = "3600" }) // a string, as the hub sends it
			p := cortexProfile(t, srv)
			if tt.edit != nil {
				tt.edit(&p)
			}

			g := login(t, p)
			if g.InstanceID != p.InstanceID || g.Region != "americas" || g.Generation != 1 {
				t.Errorf("grant %+v", g)
			}

			resource := httptest.NewServer(srv.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			defer resource.Close()
			var last string
			for round := range 4 { // each round is a new process
				s := open(t, p, auth.WithHosts(strings.TrimPrefix(resource.URL, "http://")), auth.WithFreshFor(0))
				client := http.Client{Transport: s.RoundTripper(&http.Transport{DisableKeepAlives: true})}
				resp, err := client.Get(resource.URL)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("round %d: %v %v", round, resp, err)
				}

				_ = resp.Body.Close()
				if got := token(t, s); got == last {
					t.Errorf("round %d: the token did not change", round)
				} else {
					last = got
				}

				srv.Revoke(last)
				if resp, err = client.Get(resource.URL); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("round %d, revoked: %v %v", round, resp, err)
				}

				_ = resp.Body.Close()
				last = token(t, s)
				_ = s.Close()
			}

			for _, r := range srv.Requests() {
				if isJSON := r.Header.Get("Content-Type") == "application/json"; isJSON != (p.Body == auth.BodyJSON) {
					t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
				}
			}
		})
	}
}

func TestPreviousRefreshTokenIsTheLastResort(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
	p := cortexProfile(t, srv)
	login(t, p)
	s := open(t, p)
	token(t, s)
	_ = s.Close()
	issued := srv.Issued()
	srv.RevokeGrant(issued[len(issued)-1]) // as if the server had lost the new refresh token
	token(t, open(t, p))
}

func TestErrorOfAMissingGrantSaysHowToLogIn(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, nil)
	p := cortexProfile(t, srv)
	if _, err := open(t, p).Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) || !strings.Contains(err.Error(), "login hub") {
		t.Errorf("never logged in: %v, want ErrReauthorize that names the command", err)
	}
	login(t, p)
	srv.RevokeGrant(srv.Issued()[1])
	_, err := open(t, p).Token(t.Context())
	if !errors.Is(err, auth.ErrReauthorize) || !strings.Contains(err.Error(), p.InstanceID) {
		t.Errorf("revoked: %v, want ErrReauthorize that names the instance", err)
	}
	login(t, p)
	token(t, open(t, p))
}

// TestARefreshWithALostAnswerIsRepeated loses the answer of a refresh after the server has acted.
func TestARefreshWithALostAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
	p := cortexProfile(t, srv)
	login(t, p)
	srv.Fail(authtest.Fault{Act: true})
	token(t, open(t, p))
	if n := len(srv.Requests()); n != 3 {
		t.Errorf("%d token requests, want the exchange, the lost refresh and one more", n)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, nil)
	p := cortexProfile(t, srv)
	grants := authtest.NewBucket()
	login(t, p, auth.WithGrantsBucket(grants))
	refresh := srv.Issued()[1]
	if err := auth.Logout(t.Context(), p, auth.WithGrantsBucket(grants)); err != nil {
		t.Fatal(err)
	}
	if got := srv.Revoked(); len(got) != 1 || got[0] != refresh {
		t.Errorf("revoked %d tokens, want the refresh token", len(got))
	}

	for _, opts := range [][]auth.Option{nil, {auth.WithGrantsBucket(grants)}} {
		if _, err := open(t, p, opts...).Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
			t.Errorf("after the logout: %v, want ErrReauthorize", err)
		}
	}

	if err := auth.Logout(t.Context(), p); err != nil {
		t.Errorf("second logout: %v", err)
	}

	login(t, p, auth.WithGrantsBucket(grants))
	token(t, open(t, p))
	srv.SetSecret("another") // revocation is refused now
	if err := auth.Logout(t.Context(), p, auth.WithGrantsBucket(grants)); !errors.Is(err, auth.ErrCredentialRejected) {
		t.Errorf("refused revocation: %v", err)
	}
	if _, err := open(t, p).Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
		t.Errorf("after a refused revocation: %v, want ErrReauthorize, because the grant is wiped anyway", err)
	}
}

// TestLogoutSaysThatAnUnreadableGrantIsNotRevoked: the client secret was replaced before.
func TestLogoutSaysThatAnUnreadableGrantIsNotRevoked(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, nil)
	p := cortexProfile(t, srv)
	login(t, p)
	p.ClientSecret = auth.NewSecret("another")
	if err := auth.Logout(t.Context(), p); err == nil || !strings.Contains(err.Error(), "not revoked") {
		t.Errorf("got %v, want an error that says so", err)
	}
	if err := auth.Logout(t.Context(), p); err != nil {
		t.Errorf("second logout: %v, want nothing stored", err)
	}
}

// TestLogoutUsesTheConfiguredBodyFormat checks that the revocation has the format of the token
// requests.
func TestLogoutUsesTheConfiguredBodyFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, want string }{
		{auth.BodyForm, "application/x-www-form-urlencoded"},
		{auth.BodyJSON, "application/json"},
		{"", "application/json"}, // what the vendor's own clients send
	} {
		t.Run("body "+tt.body, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, nil)
			p := cortexProfile(t, srv)
			p.Body = tt.body
			login(t, p)
			seen := make(chan string, 1)
			recorder := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == p.RevokeURL {
					seen <- r.Header.Get("Content-Type")
				}

				return http.DefaultTransport.RoundTrip(r)
			})

			if err := auth.Logout(t.Context(), p, auth.WithTransport(recorder)); err != nil {
				t.Fatal(err)
			}

			if got := <-seen; got != tt.want || len(srv.Revoked()) != 1 {
				t.Errorf("Content-Type %q and %d tokens revoked, want %q and 1", got, len(srv.Revoked()), tt.want)
			}

			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		})
	}
}

func TestAudienceOfAManagedAccountIsLookedUp(t *testing.T) {
	t.Parallel()
	srv := serve(t, authtest.Config{
		ClientID: "0123abcd_rw_id", ClientSecret: "canary p@ss:w+rd!/=", ClientAuth: auth.ClientAuthBasicRaw, Lifetime: time.Hour,
		APIKey: "canary-api-key-51ce",
	})
	mux := http.NewServeMux()
	mux.Handle("POST /rest/platform/authorization/v1/audiences", srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		n, _ := r.Body.Read(buf)
		if string(buf[:n]) != `{"accountId":"WGC-1-123abc456"}` {
			http.Error(w, `{"title":"Not Found"}`, http.StatusNotFound)
			return
		}

		_, _ = w.Write([]byte(`{"audience":"aud-7"}`))
	})))
	api := httptest.NewServer(mux)
	defer api.Close()
	p := auth.Profile{
		Name: "watchguard", Kind: auth.KindWatchGuard, ClientID: "0123abcd_rw_id", ClientSecret: auth.NewSecret("canary p@ss:w+rd!/="),
		APIKeyFile: secretFileOf(t, "canary-api-key-51ce"), URL: api.URL, TokenURL: srv.TokenURL(),
	}
	got, err := auth.LookupAudience(t.Context(), p, "WGC-1-123abc456")
	if err != nil || got != "aud-7" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err = auth.LookupAudience(t.Context(), p, "WGC-2"); !errors.Is(err, auth.ErrCredentialRejected) || !strings.Contains(err.Error(), "account id") {
		t.Errorf("unknown account: %v", err)
	}

	wrong := p
	wrong.APIKeyFile = secretFileOf(t, "other")
	if _, err = auth.LookupAudience(t.Context(), wrong, "WGC-1-123abc456"); !errors.Is(err, auth.ErrCredentialRejected) || !strings.Contains(err.Error(), "API key") {
		t.Errorf("wrong API key: %v", err)
	}

	p.Audience = got
	token(t, open(t, p))
	requests := srv.Requests()
	if form := requests[len(requests)-1].Form; form.Get("audience") != "aud-7" {
		t.Errorf("form %v, want the audience", form)
	}
	if _, err = auth.LookupAudience(t.Context(), p, "WGC-1-123abc456"); err == nil {
		t.Error("looked up with a token for a managed account")
	}
}

func TestDataSecurityTokenWithoutExpiresInDoesNotExpire(t *testing.T) {
	t.Parallel()
	srv := serve(t, authtest.Config{ClientID: "client", ClientSecret: "canary-secret-0b7e", ClientAuth: auth.ClientAuthBasicRaw, Scope: "api_access"})
	srv.Edit(func(answer map[string]any) { delete(answer, "expires_in") })
	s := open(t, auth.Profile{
		Name: "ds", Kind: auth.KindDataSecurity, ClientID: "client", ClientSecret: auth.NewSecret("canary-secret-0b7e"), URL: srv.URL,
	})
	token(t, s)
	if st := s.Status(); st.State != "fresh" || !st.Expires.IsZero() {
		t.Errorf("status %+v, want a token that does not expire", st)
	}
}

func TestAPIKeyIsReturnedAsTheToken(t *testing.T) {
	t.Parallel()
	p := auth.Profile{Name: "legacy", Kind: auth.KindAPIKey, APIKeyFile: secretFileOf(t, "canary-api-key-51ce")}
	s := open(t, p, auth.WithFreshFor(0))
	if got := token(t, s); got != "canary-api-key-51ce" {
		t.Errorf("got %q", got)
	}

	overwrite(t, p.APIKeyFile, "canary-refresh")
	s.Rejected("canary-api-key-51ce")
	if got := token(t, s); got != "canary-refresh" {
		t.Errorf("after the key was replaced: %q", got)
	}

	s.Rejected("canary-refresh")
	if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) {
		t.Errorf("the same key again: %v, want ErrCredentialRejected", err)
	}

	var seen http.Header
	rt := s.RoundTripper(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		seen = r.Header
		return reply(200, ""), nil
	}))
	u := &url.URL{Scheme: "https", Host: "wildfire.paloaltonetworks.com"}
	if _, err := rt.RoundTrip(&http.Request{URL: u, Header: http.Header{}}); err != nil || len(seen) != 0 {
		t.Errorf("the transport added %v, %v; the key is a form field", seen, err)
	}
}
