package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"backburn/auth"
)

// endpoint is a token endpoint without a network, for tests in virtual time. By default it
// grants tokens "token-1", "token-2", … with a life of 900 seconds, and each answer takes a second.
type endpoint struct {
	mu       sync.Mutex
	requests []tokenRequest
	delay    time.Duration
	answer   func(n int, r tokenRequest) (*http.Response, error)
}

type tokenRequest struct {
	at     time.Time
	form   url.Values
	header http.Header
	url    string
	body   string
}

func newEndpoint(answer func(n int, r tokenRequest) (*http.Response, error)) *endpoint {
	if answer == nil {
		answer = func(n int, _ tokenRequest) (*http.Response, error) { return granted(n, "900"), nil }
	}
	return &endpoint{answer: answer, delay: time.Second}
}

func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}

	form, _ := url.ParseQuery(string(body))
	r := tokenRequest{
		at:     time.Now(),
		form:   form,
		header: req.Header.Clone(),
		url:    req.URL.String(),
		body:   string(body),
	}
	e.mu.Lock()
	e.requests = append(e.requests, r)
	n := len(e.requests)
	e.mu.Unlock()
	select {
	case <-time.After(e.delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}

	return e.answer(n, r)
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

func (e *endpoint) all() []tokenRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]tokenRequest(nil), e.requests...)
}

// granted returns an answer with the token "token-<n>" and the given expires_in; "" omits it.
func granted(n int, expiresIn string) *http.Response {
	if expiresIn != "" {
		expiresIn = `,"expires_in":` + expiresIn
	}
	return reply(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"bearer"%s}`, n, expiresIn))
}

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func wildfireProfile() auth.Profile {
	return auth.Profile{
		Name: "wildfire", Kind: auth.KindWildFire, TSGID: "1234567890",
		ClientID: "svc@1234567890.iam.panserviceaccount.com", ClientSecret: auth.NewSecret("canary-secret-0b7e"),
	}
}
