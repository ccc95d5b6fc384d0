package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/cookiejar"
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

// loginSite is a login with its callback server and a browser.
type loginSite struct {
	srv     *authtest.Server
	login   *cortex.Login
	app     *httptest.Server
	profile auth.Profile
}

func newLoginSite(t *testing.T) *loginSite {
	t.Helper()
	st := &loginSite{}
	// The redirect URL needs the server's port, so the handler is set after the server was started.
	st.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { st.login.Handler().ServeHTTP(w, r) }))
	t.Cleanup(st.app.Close)
	redirect := st.app.URL + "/callback"
	st.srv = cortexServer(t, func(c *authtest.Config) { c.RedirectURL = redirect })
	st.profile = cortexProfile(t, st.srv)
	st.profile.RedirectURL = redirect
	var err error
	if st.login, err = auth.NewLogin(st.profile, cortex.HubParams{}); err != nil {
		t.Fatal(err)
	}

	return st
}

// browser keeps cookies and follows no redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}

	return &http.Client{
		Jar: jar, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(t *testing.T, c *http.Client, address string) (status int, location string) {
	t.Helper()
	resp, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	return resp.StatusCode, resp.Header.Get("Location")
}

// begin opens the start page and returns the callback that the authorization server sends
// the browser to.
func (st *loginSite) begin(t *testing.T, c *http.Client) string {
	t.Helper()
	status, authorize := get(t, c, st.app.URL+cortex.StartPath)
	if status != http.StatusSeeOther {
		t.Fatalf("start: status %d", status)
	}
	_, callback := get(t, c, authorize)
	if !strings.HasPrefix(callback, st.profile.RedirectURL+"?") {
		t.Fatalf("sent to %q", callback)
	}

	return callback
}

// with returns a URL with query parameters changed; "" removes one.
func with(t *testing.T, raw string, pairs ...string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	u.RawQuery = q.Encode()

	return u.String()
}

func TestCallbackIsChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		send      func(t *testing.T, st *loginSite, c *http.Client, callback string) (status int)
		status    int
		stillOpen bool // the login waits for another callback
		err       error
	}{
		{"the callback of this login", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int { s, _ := get(t, c, cb); return s }, 200, false, nil},
		{"wrong state", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "state", "AAAAAAAAAAAAAAAAAAAAAAAAAA"))
			return s
		}, 403, true, nil},
		{"no state", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "state", ""))
			return s
		}, 403, true, nil},
		{"state twice", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, cb+"&state=x")
			return s
		}, 403, true, nil},
		{"code twice", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, cb+"&code=x")
			return s
		}, 403, true, nil},
		{"another browser", func(t *testing.T, _ *loginSite, _ *http.Client, cb string) int {
			s, _ := get(t, browser(t), cb)
			return s
		}, 403, true, nil},
		{"another browser that started its own login", func(t *testing.T, st *loginSite, _ *http.Client, cb string) int {
			other := browser(t)
			st.begin(t, other)
			s, _ := get(t, other, cb)

			return s
		}, 403, true, nil},
		{"another instance", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "instance_id", "7"))
			return s
		}, 403, true, nil},
		{"its own instance", func(t *testing.T, st *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "instance_id", st.profile.InstanceID))
			return s
		}, 200, false, nil},
		{"refused by the user", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "code", "", "error", "access_denied", "error_description", "<script>no</script> canary-secret-0b7e"))
			return s
		}, 502, false, auth.ErrReauthorize},
		{"an error without our state", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "code", "", "state", "", "error", "access_denied"))
			return s
		}, 403, true, nil},
		{"no code", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "code", ""))
			return s
		}, 502, false, auth.ErrReauthorize},
		{"an unknown code", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, with(t, cb, "code", "AAAA"))
			return s
		}, 502, false, auth.ErrReauthorize},
		{"another path", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, strings.Replace(cb, "/callback", "/callback/", 1))
			return s
		}, 404, true, nil},
		{"another host", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			req, err := http.NewRequest(http.MethodGet, cb, nil)
			if err != nil {
				t.Fatal(err)
			}

			req.Host = "rebound.example"
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}

			_ = resp.Body.Close()

			return resp.StatusCode
		}, 421, true, nil},
		{"another method", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			resp, err := c.Post(cb, "text/plain", nil)
			if err != nil {
				t.Fatal(err)
			}

			_ = resp.Body.Close()

			return resp.StatusCode
		}, 405, true, nil},
		{"a query of 20 KiB", func(t *testing.T, _ *loginSite, c *http.Client, cb string) int {
			s, _ := get(t, c, cb+"&x="+strings.Repeat("x", 20<<10))
			return s
		}, 414, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, c := newLoginSite(t), browser(t)
			if got := tt.send(t, st, c, st.begin(t, c)); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}

			ctx, cancel := context.WithCancel(t.Context())
			if tt.stillOpen {
				cancel() // the login has no outcome yet
			}

			g, err := st.login.Wait(ctx)
			cancel()
			if tt.stillOpen {
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("the login ended: %+v, %v", g, err)
				}
				if s, _ := get(t, c, st.begin(t, c)); s != 200 {
					t.Errorf("the right callback afterwards: status %d", s)
				}

				g, err = st.login.Wait(t.Context())
			}

			if !errors.Is(err, tt.err) {
				t.Errorf("outcome %v, want %v", err, tt.err)
			}

			if tt.err != nil {
				checkNoSecret(t, err)
				return
			}

			if g.InstanceID != st.profile.InstanceID || g.Generation != 1 {
				t.Errorf("grant %+v", g)
			}

			token(t, open(t, st.profile))
		})
	}
}

func TestCallbackCanBeUsedOnce(t *testing.T) {
	t.Parallel()
	st, c := newLoginSite(t), browser(t)
	callback := st.begin(t, c)
	if s, _ := get(t, c, callback); s != 200 {
		t.Fatalf("status %d", s)
	}
	n := len(st.srv.Requests())
	if s, _ := get(t, c, callback); s != 403 || len(st.srv.Requests()) != n {
		t.Errorf("second use: status %d, %d more token requests; want 403 and none", s, len(st.srv.Requests())-n)
	}
}

func TestStateExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := auth.Profile{
			Name: "hub", Kind: auth.KindCortex, ClientID: "app-1", ClientSecret: auth.NewSecret("canary-secret-0b7e"), Scope: "s",
			RedirectURL: "http://127.0.0.1:8976/callback", InstanceID: "1", Region: "europe", GrantFile: t.TempDir() + "/grant",
		}
		e := newEndpoint(func(int, tokenRequest) (*http.Response, error) {
			return reply(200, `{"access_token":"a","refresh_token":"canary-refresh","expires_in":"3600"}`), nil
		})
		l, err := auth.NewLogin(p, cortex.HubParams{}, auth.WithTransport(e))
		if err != nil {
			t.Fatal(err)
		}

		callback := func(authorize string) string {
			u, err := url.Parse(authorize)
			if err != nil {
				t.Fatal(err)
			}

			return with(t, p.RedirectURL, "state", u.Query().Get("state"), "code", "c")
		}
		late := callback(l.Begin())
		time.Sleep(10*time.Minute + time.Second)
		if _, err := l.Complete(t.Context(), late); !errors.Is(err, auth.ErrState) || e.count() != 0 {
			t.Errorf("after ten minutes: %v, %d token requests", err, e.count())
		}

		for name, foreign := range map[string]string{
			"another host":   "http://127.0.0.1:8977/callback",
			"another scheme": "https://127.0.0.1:8976/callback",
			"another path":   "http://127.0.0.1:8976/other",
			"not a URL":      "%zz",
		} {
			authorize, _ := url.Parse(l.Begin())
			if _, err := l.Complete(t.Context(), foreign+"?code=c&state="+authorize.Query().Get("state")); !errors.Is(err, auth.ErrCallback) {
				t.Errorf("%s: %v, want ErrCallback", name, err)
			}
		}

		replaced := callback(l.Begin())
		for range 16 {
			l.Begin()
		}
		if _, err := l.Complete(t.Context(), replaced); !errors.Is(err, auth.ErrState) {
			t.Errorf("replaced by newer authorizations: %v, want ErrState", err)
		}
		if _, err := l.Complete(t.Context(), callback(l.Begin())); err != nil {
			t.Errorf("in time: %v", err)
		}
	})
}

func TestAuthorizationRequest(t *testing.T) {
	t.Parallel()
	p := auth.Profile{
		Name: "hub", Kind: auth.KindCortex, ClientID: "app-1", ClientSecret: auth.NewSecret("canary-secret-0b7e"), Scope: "logging-service:read",
		RedirectURL: "http://127.0.0.1:8976/callback", GrantFile: t.TempDir() + "/grant",
	}
	hub := cortex.HubParams{InstanceID: "9007199254740993", Region: "europe"}
	l, err := auth.NewLogin(p, hub)
	if err != nil {
		t.Fatal(err)
	}

	u, err := url.Parse(l.Begin())
	if err != nil {
		t.Fatal(err)
	}

	q := u.Query()
	if len(q.Get("state")) < 26 { // 128 bits in base32
		t.Errorf("state %q", q.Get("state"))
	}

	q.Del("state")
	want := url.Values{
		"response_type": {"code"}, "client_id": {"app-1"}, "scope": {"logging-service:read"}, "redirect_uri": {p.RedirectURL},
		"instance_id": {hub.InstanceID}, "region": {"europe"},
	}
	if got := "https://" + u.Host + u.Path; got != "https://identity.paloaltonetworks.com/as/authorization.oauth2" || q.Encode() != want.Encode() {
		t.Errorf("%s with %v, want %v", got, q, want)
	}

	p.InstanceID = "another"
	if _, err := auth.NewLogin(p, hub); err == nil || !strings.Contains(err.Error(), "auth.hub.instance_id") {
		t.Errorf("the hub's instance differs from the profile's: %v", err)
	}

	p.InstanceID, p.Region = "", "mars"
	if _, err := auth.NewLogin(p, cortex.HubParams{}); err == nil || !strings.Contains(err.Error(), "auth.hub.instance_id") || !strings.Contains(err.Error(), "auth.hub.region") {
		t.Errorf("got %v, want every problem", err)
	}
}

func TestParseHubParams(t *testing.T) {
	t.Parallel()
	const query = "instance_id=9007199254740993&instance_name=a?b>c~&region=americas&lsn=1&description=d&tier=gold"
	std := base64.StdEncoding.EncodeToString([]byte(query))
	if !strings.ContainsAny(std, "+/") {
		t.Fatal("the sample needs a character that differs between the two alphabets")
	}

	good := map[string]string{
		"standard": std, "unpadded": strings.TrimRight(std, "="), "URL alphabet": base64.URLEncoding.EncodeToString([]byte(query)),
		"URL alphabet unpadded": base64.RawURLEncoding.EncodeToString([]byte(query)), "plus became space": strings.ReplaceAll(std, "+", " "),
		"white space around": "\n " + std + "\n",
	}
	for name, in := range good {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := cortex.ParseHubParams(in)
			if err != nil || p.InstanceID != "9007199254740993" || p.InstanceName != "a?b>c~" || p.Region != "americas" || p.LSN != "1" || p.Description != "d" ||
				len(p.Custom) != 1 || p.Custom["tier"] != "gold" {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}

	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	bad := map[string]string{
		"empty": "", "not base64": "%%%", "line break inside": std[:8] + "\n" + std[8:], "not a query": encode("a=%zz"),
		"binary": encode("instance_id=1&region=americas&x=\xff\xfe"), "control characters": encode("instance_id=1\x00&region=americas"),
		"no instance": encode("region=americas"), "no region": encode("instance_id=1"), "unknown region": encode("instance_id=1&region=mars"),
		"instance twice": encode("instance_id=1&instance_id=2&region=americas"), "a megabyte": encode("instance_id=1&region=americas&x=" + strings.Repeat("x", 1<<20)),
	}
	for name, in := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p, err := cortex.ParseHubParams(in); err == nil || len(err.Error()) > 300 {
				t.Errorf("got %+v, %.400v; want a short error", p, err)
			}
		})
	}
}

func FuzzParseHubParams(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString([]byte("instance_id=1&region=europe&x=y")))
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := cortex.ParseHubParams(in)
		if err == nil && (p.InstanceID == "" || p.Region != "europe" && p.Region != "americas") {
			t.Errorf("accepted %+v", p)
		}
	})
}
