package auth_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
)

// api is a service behind a transport: it refuses the tokens in refused, and records the requests.
type api struct {
	mu      sync.Mutex
	refused map[string]bool
	status  int // of other answers; 0: 200
	seen    []string
	bodies  []string
	closed  atomic.Int32
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	var body string
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}

		_ = r.Body.Close()
		body = string(raw)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	auth := r.Header.Get("Authorization")
	a.seen, a.bodies = append(a.seen, auth), append(a.bodies, body)
	if a.refused[strings.TrimPrefix(auth, "Bearer ")] {
		return reply(401, "Invalid API key"), nil
	}
	if a.status != 0 {
		return reply(a.status, ""), nil
	}

	return reply(200, "fine"), nil
}

// counted is a body that counts calls of Close and cannot be reopened.
type counted struct {
	io.Reader
	closed *atomic.Int32
}

func (c counted) Close() error { c.closed.Add(1); return nil }

const wildFireAPI = "https://wildfire.paloaltonetworks.com/publicapi/get/verdict"

func TestRoundTripper(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		url    string
		body   func(a *api) io.Reader
		api    *api
		status int
		seen   []string // Authorization of each request
		grants int
	}{
		{"adds the token", wildFireAPI, nil, &api{}, 200, []string{"Bearer token-1"}, 1},
		{"adds it for a region", "https://eu.wildfire.paloaltonetworks.com/x", nil, &api{}, 200, []string{"Bearer token-1"}, 1},
		{"adds it with the port spelled out", "https://WildFire.paloaltonetworks.com:443/x", nil, &api{}, 200, []string{"Bearer token-1"}, 1},
		{"not for another host", "https://example.com/", nil, &api{}, 200, []string{""}, 0},
		{"not for a host that looks like it", "https://evilwildfire.paloaltonetworks.com/", nil, &api{}, 200, []string{""}, 0},
		{"not for a host that begins like it", "https://wildfire.paloaltonetworks.com.example.com/", nil, &api{}, 200, []string{""}, 0},
		{"not for another port", "https://wildfire.paloaltonetworks.com:8443/", nil, &api{}, 200, []string{""}, 0},
		{"not in the clear", "http://wildfire.paloaltonetworks.com/", nil, &api{}, 200, []string{""}, 0},
		{"renews once on 401", wildFireAPI, nil, &api{refused: map[string]bool{"token-1": true}}, 200, []string{"Bearer token-1", "Bearer token-2"}, 2},
		{"renews once and no more", wildFireAPI, nil, &api{refused: map[string]bool{"token-1": true, "token-2": true}}, 401, []string{"Bearer token-1", "Bearer token-2"}, 2},
		{"sends a body again", wildFireAPI, func(*api) io.Reader { return strings.NewReader("sample") }, &api{refused: map[string]bool{"token-1": true}}, 200, []string{"Bearer token-1", "Bearer token-2"}, 2},
		{"does not send half a body", wildFireAPI, func(a *api) io.Reader { return counted{strings.NewReader("sample"), &a.closed} }, &api{refused: map[string]bool{"token-1": true}}, 401, []string{"Bearer token-1"}, 1},
		{"403 is not the token's fault", wildFireAPI, nil, &api{status: 403}, 403, []string{"Bearer token-1"}, 1},
		{"419 is not the token's fault", wildFireAPI, nil, &api{status: 419}, 419, []string{"Bearer token-1"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(nil)
				s := source(t, wildfireProfile(), e)
				if tt.grants > 0 { // an old token, so that a refusal is an ordinary one
					token(t, s)
					time.Sleep(2 * time.Minute)
				}

				var body io.Reader
				if tt.body != nil {
					body = tt.body(tt.api)
				}

				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, body)
				if err != nil {
					t.Fatal(err)
				}

				resp, err := s.RoundTripper(tt.api).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}

				rest, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != tt.status || tt.status == 401 && string(rest) != "Invalid API key" {
					t.Errorf("status %d with %q, want %d", resp.StatusCode, rest, tt.status)
				}
				if strings.Join(tt.api.seen, ",") != strings.Join(tt.seen, ",") {
					t.Errorf("the service saw %q, want %q", tt.api.seen, tt.seen)
				}

				for _, b := range tt.api.bodies {
					if tt.body != nil && b != "sample" {
						t.Errorf("body %q", b)
					}
				}

				if e.count() != tt.grants {
					t.Errorf("%d token requests, want %d", e.count(), tt.grants)
				}
				if len(req.Header) != 0 {
					t.Errorf("the caller's request was changed: %v", req.Header)
				}
			})
		})
	}
}

func TestRoundTripperClosesTheBodyWhenThereIsNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(func(int, tokenRequest) (*http.Response, error) { return reply(500, ""), nil })
		s := source(t, wildfireProfile(), e)
		var closed atomic.Int32
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, wildFireAPI, counted{strings.NewReader("x"), &closed})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RoundTripper(&api{}).RoundTrip(req); !errors.Is(err, auth.ErrTemporary) || closed.Load() != 1 {
			t.Errorf("%v, body closed %d times", err, closed.Load())
		}
	})
}

func TestTokenDoesNotFollowARedirect(t *testing.T) {
	t.Parallel()
	var leaked atomic.Value
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked.Store(r.Header.Get("Authorization")) }))
	defer elsewhere.Close()
	front := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer front.Close()
	s := open(t, wildfireProfile(), auth.WithTransport(newImmediate()), auth.WithHosts(strings.TrimPrefix(front.URL, "http://")))
	client := http.Client{Transport: s.RoundTripper(&http.Transport{DisableKeepAlives: true})}
	resp, err := client.Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if leaked.Load() != "" {
		t.Errorf("the other host saw %q", leaked.Load())
	}
}

func newImmediate() *endpoint {
	e := newEndpoint(nil)
	e.delay = 0
	return e
}

// TestAcceptedTokensDoNotOpenTheLoopBreaker uses a service that often revokes tokens but accepts
// each fresh one.
func TestAcceptedTokensDoNotOpenTheLoopBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		a := &api{refused: map[string]bool{}}
		rt := s.RoundTripper(a)
		for range 10 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, wildFireAPI, nil)
			if err != nil {
				t.Fatal(err)
			}

			resp, err := rt.RoundTrip(req)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}

			a.refused[token(t, s)] = true
			time.Sleep(90 * time.Second)
		}
	})
}

func TestTokenForReturnsATokenThatLastsLongEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		token(t, s)
		time.Sleep(10 * time.Minute) // the token is fresh and expires in five minutes
		for _, tt := range []struct {
			need time.Duration
			want string
		}{{4 * time.Minute, "token-1"}, {6 * time.Minute, "token-2"}, {time.Hour, "token-2"}} {
			if got, err := s.TokenFor(t.Context(), tt.need); err != nil || got != tt.want {
				t.Errorf("for %v: %q, %v; want %q", tt.need, got, err, tt.want)
			}
		}

		if e.count() != 2 {
			t.Errorf("%d token requests, want 2", e.count())
		}
	})
}

// TestTokenIsNotSentWithoutTLS checks that even a host from WithHosts gets no token without TLS.
func TestTokenIsNotSentWithoutTLS(t *testing.T) {
	t.Parallel()
	s := open(t, wildfireProfile(), auth.WithTransport(newImmediate()), auth.WithHosts("appliance.example:80", "appliance.example"))
	for address, want := range map[string]string{"http://appliance.example/": "", "https://appliance.example/": "Bearer token-1"} {
		a := &api{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RoundTripper(a).RoundTrip(req); err != nil || a.seen[0] != want {
			t.Errorf("%s: %q, %v; want %q", address, a.seen, err, want)
		}
	}
}
