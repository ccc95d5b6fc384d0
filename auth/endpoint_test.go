package auth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
)

// secretFileOf writes a secret to a new file and returns the file's name.
func secretFileOf(t *testing.T, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestErrorsOfTheTokenEndpointAreClassified(t *testing.T) {
	t.Parallel()
	const html = "<html><body>client_secret=canary-secret-0b7e</body></html>"
	tests := []struct {
		name      string
		kind      auth.Kind
		answer    func() (*http.Response, error)
		class     error
		status    int
		code      string
		permanent bool
		pause     time.Duration // exact; 0: not checked
	}{
		{"RFC error", auth.KindWildFire, func() (*http.Response, error) {
			return reply(401, `{"error":"invalid_client","error_description":"Client authentication failed"}`), nil
		}, auth.ErrCredentialRejected, 401, "invalid_client", true, time.Minute},
		{"Data Security's own code", auth.KindDataSecurity, func() (*http.Response, error) {
			return reply(401, `{"error":"unauthorized","resolution":"Please submit valid credentials.","error_description":"Invalid credentials"}`), nil
		}, auth.ErrCredentialRejected, 401, "unauthorized", true, time.Minute},
		{"WatchGuard's 400", auth.KindWatchGuard, func() (*http.Response, error) {
			return reply(400, `{"Message":"Bad credentials"}`), nil
		}, auth.ErrCredentialRejected, 400, "", true, time.Minute},
		{"WatchGuard's 400 without a body", auth.KindWatchGuard, func() (*http.Response, error) { return reply(400, ``), nil }, auth.ErrCredentialRejected, 400, "", true, time.Minute},
		{"scope", auth.KindWildFire, func() (*http.Response, error) { return reply(400, `{"error":"invalid_scope"}`), nil }, auth.ErrCredentialRejected, 400, "invalid_scope", true, time.Minute},
		{"error with 200", auth.KindWildFire, func() (*http.Response, error) { return reply(200, `{"error":"invalid_client"}`), nil }, auth.ErrCredentialRejected, 200, "invalid_client", true, time.Minute},
		{"temporary error with 200", auth.KindWildFire, func() (*http.Response, error) { return reply(200, `{"error":"server_error"}`), nil }, auth.ErrTemporary, 200, "server_error", false, 0},
		{"unknown code", auth.KindWildFire, func() (*http.Response, error) { return reply(400, `{"error":"canary-secret-0b7e"}`), nil }, auth.ErrCredentialRejected, 400, "other", true, time.Minute},
		{"error object", auth.KindWildFire, func() (*http.Response, error) { return reply(503, `{"error":{"code":7}}`), nil }, auth.ErrTemporary, 503, "other", false, 0},
		{"HTML", auth.KindWildFire, func() (*http.Response, error) { return reply(503, html, "Content-Type", "text/html"), nil }, auth.ErrTemporary, 503, "", false, 0},
		{"HTML with 200", auth.KindWildFire, func() (*http.Response, error) { return reply(200, html, "Content-Type", "text/html"), nil }, auth.ErrTemporary, 200, "", false, 0},
		{"empty answer with 200", auth.KindWildFire, func() (*http.Response, error) { return reply(200, ``), nil }, auth.ErrTemporary, 200, "", false, 0},
		{"no token with 200", auth.KindWildFire, func() (*http.Response, error) { return reply(200, `{"token_type":"bearer"}`), nil }, auth.ErrTemporary, 200, "", false, 0},
		{"a token that is no bearer token", auth.KindWildFire, func() (*http.Response, error) {
			return reply(200, `{"access_token":"a","token_type":"mac"}`), nil
		}, auth.ErrTemporary, 200, "", false, 0},
		{"a token that is no header value", auth.KindWildFire, func() (*http.Response, error) {
			return reply(200, `{"access_token":"a\nb","token_type":"bearer"}`), nil
		}, auth.ErrTemporary, 200, "", false, 0},
		{"two mebibytes", auth.KindWildFire, func() (*http.Response, error) {
			return reply(200, `{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`), nil
		}, auth.ErrTemporary, 200, "", false, 0},
		{"truncated", auth.KindWildFire, func() (*http.Response, error) { return reply(200, `{"access_token":"abc`), nil }, auth.ErrTemporary, 200, "", false, 0},
		{"connection lost", auth.KindWildFire, func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, auth.ErrTemporary, 0, "", false, 0},
		{"429 with Retry-After in seconds", auth.KindWildFire, func() (*http.Response, error) { return reply(429, ``, "Retry-After", "77"), nil }, auth.ErrTemporary, 429, "", false, 77 * time.Second},
		{"429 with Retry-After as a date", auth.KindWildFire, func() (*http.Response, error) {
			return reply(429, ``, "Retry-After", time.Now().Add(42*time.Second).UTC().Format(http.TimeFormat)), nil
		}, auth.ErrTemporary, 429, "", false, 42 * time.Second},
		{"429 with Retry-After of years", auth.KindWildFire, func() (*http.Response, error) {
			return reply(429, ``, "Retry-After", "99999999999999999999999"), nil
		}, auth.ErrTemporary, 429, "", false, 5 * time.Minute},
		{"503 with Retry-After in the past", auth.KindWildFire, func() (*http.Response, error) {
			return reply(503, ``, "Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"), nil
		}, auth.ErrTemporary, 503, "", false, 0},
		{"timeout", auth.KindWildFire, func() (*http.Response, error) { return reply(408, ``), nil }, auth.ErrTemporary, 408, "", false, 0},
		{"redirect", auth.KindWildFire, func() (*http.Response, error) {
			return reply(307, ``, "Location", "https://elsewhere.example/"), nil
		}, auth.ErrTemporary, 307, "", false, 0},
		{"unknown URL", auth.KindWildFire, func() (*http.Response, error) { return reply(404, ``), nil }, auth.ErrCredentialRejected, 404, "", true, time.Minute},
		{"invalid_grant without a grant", auth.KindWildFire, func() (*http.Response, error) { return reply(400, `{"error":"invalid_grant"}`), nil }, auth.ErrReauthorize, 400, "invalid_grant", true, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(func(int, tokenRequest) (*http.Response, error) { return tt.answer() })
				e.delay = 0
				s := source(t, profileOf(t, tt.kind), e)
				_, err := s.Token(t.Context())
				var ae *auth.AuthError
				if !errors.Is(err, tt.class) || !errors.As(err, &ae) {
					t.Fatalf("got %v, want an AuthError of class %v", err, tt.class)
				}
				if ae.Status != tt.status || ae.Code != tt.code || ae.Permanent != tt.permanent || ae.Temporary() == tt.permanent {
					t.Errorf("got %+v, want status %d, code %q, permanent %v", ae, tt.status, tt.code, tt.permanent)
				}
				if ae.RetryAfter <= 0 || tt.pause != 0 && ae.RetryAfter != tt.pause {
					t.Errorf("pause of %v, want %v", ae.RetryAfter, tt.pause)
				}
				if e.count() != 1 {
					t.Errorf("%d requests, want 1", e.count())
				}

				checkNoSecret(t, err)
			})
		})
	}
}

func TestJSONWithAnotherContentTypeIsRead(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"text/plain", "text/plain; charset=utf-8", "", "text/html", "application/x-www-form-urlencoded"} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) {
					r := granted(n, "900")
					r.Header.Set("Content-Type", contentType)

					return r, nil
				})
				if got := token(t, source(t, wildfireProfile(), e)); got != "token-1" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int32
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
			defer elsewhere.Close()
			front := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
			defer front.Close()
			p := wildfireProfile()
			p.TokenURL = front.URL
			s, err := auth.New(p)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Token(t.Context())
			if err == nil || !strings.Contains(err.Error(), "token_url") || reached.Load() != 0 {
				t.Errorf("got %v, %d requests elsewhere; want an error that names token_url and none", err, reached.Load())
			}
		})
	}
}

// TestTokenRequestOfEachKind checks what each kind sends by default.
func TestTokenRequestOfEachKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind  auth.Kind
		edit  func(*auth.Profile)
		url   string
		basic string // decoded; "" none
		form  url.Values
	}{
		{
			kind: auth.KindWildFire, url: "https://auth.apps.paloaltonetworks.com/am/oauth2/access_token",
			form: url.Values{
				"grant_type": {"client_credentials"}, "scope": {"tsg_id:1234567890"},
				"client_id": {"svc@1234567890.iam.panserviceaccount.com"}, "client_secret": {"canary-secret-0b7e"},
			},
		},
		{
			kind: auth.KindWildFire, edit: func(p *auth.Profile) { p.ClientAuth = auth.ClientAuthBasicForm },
			url: "https://auth.apps.paloaltonetworks.com/am/oauth2/access_token", basic: "svc%401234567890.iam.panserviceaccount.com:canary-secret-0b7e",
			form: url.Values{"grant_type": {"client_credentials"}, "scope": {"tsg_id:1234567890"}},
		},
		{
			kind: auth.KindDataSecurity, edit: func(p *auth.Profile) { p.Region = "eu" },
			url: "https://api.aperture-eu.paloaltonetworks.com/oauth/token", basic: "svc@1234567890.iam.panserviceaccount.com:canary-secret-0b7e",
			form: url.Values{"grant_type": {"client_credentials"}, "scope": {"api_access"}},
		},
		{
			kind: auth.KindWatchGuard, edit: func(p *auth.Profile) { p.Region, p.Audience = "deu", "aud-7" },
			url: "https://api.deu.cloud.watchguard.com/oauth/token", basic: "0123abcd_rw_id:canary-secret-0b7e",
			form: url.Values{"grant_type": {"client_credentials"}, "scope": {"api-access"}, "audience": {"aud-7"}},
		},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(nil)
				p := profileOf(t, tt.kind)
				if tt.edit != nil {
					tt.edit(&p)
				}

				token(t, source(t, p, e, auth.WithUserAgent("backburn/test")))
				got := e.all()[0]
				if got.url != tt.url {
					t.Errorf("asked %s, want %s", got.url, tt.url)
				}

				id, secret, _ := (&http.Request{Header: got.header}).BasicAuth()
				if basic := strings.Trim(id+":"+secret, ":"); basic != tt.basic {
					t.Errorf("Basic %q, want %q", basic, tt.basic)
				}
				if got.form.Encode() != tt.form.Encode() {
					t.Errorf("form %v, want %v", got.form, tt.form)
				}
				if ua := got.header.Get("User-Agent"); ua != "backburn/test" {
					t.Errorf("User-Agent %q", ua)
				}
				if accept := got.header.Get("Accept"); accept != "application/json" {
					t.Errorf("Accept %q", accept)
				}
				if got.header.Get("WatchGuard-API-Key") != "" {
					t.Error("the API key went to the token endpoint")
				}
			})
		})
	}
}

// roundTripFunc is a transport of one function.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// overwrite replaces the secret in a file.
func overwrite(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEchoedSecretIsScrubbed: the server's message repeats secrets that need escaping.
func TestEchoedSecretIsScrubbed(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{`can"ary\one`, "canary-schlüssel", "canary two words", strings.Repeat("canary", 60)} {
		t.Run(secret[:8], func(t *testing.T) {
			t.Parallel()
			e := newImmediate()
			e.answer = func(int, tokenRequest) (*http.Response, error) {
				quoted, err := json.Marshal("you sent " + secret + " and that is wrong")
				if err != nil {
					return nil, err
				}

				return reply(401, `{"error":"invalid_client","error_description":`+string(quoted)+`}`), nil
			}
			p := wildfireProfile()
			p.ClientSecret = auth.NewSecret(secret)
			_, err := open(t, p, auth.WithTransport(e)).Token(t.Context())
			var ae *auth.AuthError
			if !errors.As(err, &ae) || ae.Desc != "you sent <secret> and that is wrong" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestErrorsDoNotQuoteTheProxy: the error of a transport's Proxy function repeats the proxy's URL.
func TestErrorsDoNotQuoteTheProxy(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"http://user:canary%zz@proxy:8080", "http://user:canary/x@proxy", "user:can ary@proxy"} {
		transport := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
			return nil, errors.New(`invalid proxy address "` + proxy + `": parse error`)
		}}
		_, err := open(t, wildfireProfile(), auth.WithTransport(transport)).Token(t.Context())
		if !errors.Is(err, auth.ErrTemporary) || !strings.Contains(err.Error(), "(invalid proxy address") || strings.Contains(err.Error(), "can") {
			t.Errorf("%s: got %v", proxy, err)
		}

		p := profileOf(t, auth.KindWatchGuard)
		p.URL = "https://api.example.test"
		if _, err := auth.LookupAudience(t.Context(), p, "WGC-1", auth.WithTransport(transport)); err == nil || strings.Contains(err.Error(), "can") {
			t.Errorf("%s: looking up an audience: got %v", proxy, err)
		}
	}
}

func TestErrorsDoNotQuoteAnAnswerThatIsNotHTTP(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"hello canary\r\n\r\n", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n",
		"HTTP/1.1 canary OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n", "HTTP/1.1 200 OK\r\n canary: x\r\n\r\n",
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}))
		p := wildfireProfile()
		p.TokenURL = web.URL
		_, err := open(t, p).Token(t.Context())
		if !errors.Is(err, auth.ErrTemporary) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: got %v", answer, err)
		}

		web.Close()
	}
}

// TestEchoedJSONIsScrubbed: the server's message repeats the body of a request in JSON.
func TestEchoedJSONIsScrubbed(t *testing.T) {
	t.Parallel()
	e := newImmediate()
	e.answer = func(int, tokenRequest) (*http.Response, error) {
		return reply(401, `{"error":"invalid_client","error_description":"you sent can\\u0026ary\\\"one"}`), nil
	}
	p := wildfireProfile()
	p.ClientSecret = auth.NewSecret(`can&ary"one`)
	_, err := open(t, p, auth.WithTransport(e)).Token(t.Context())
	var ae *auth.AuthError
	if !errors.As(err, &ae) || ae.Desc != "you sent <secret>" {
		t.Errorf("got %v", err)
	}
}

func TestAnswerThatIsTooLargeSaysSo(t *testing.T) {
	t.Parallel()
	e := newImmediate()
	e.answer = func(int, tokenRequest) (*http.Response, error) {
		return reply(200, `{"access_token":"token-1"}`+strings.Repeat(" ", 2<<20)), nil // its first MiB would do
	}
	if _, err := open(t, wildfireProfile(), auth.WithTransport(e)).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v", err)
	}
}
