package auth

import (
	"io"
	"net/http"
)

// maxDrain is how many bytes of a 401's body are read so that its connection can be used again.
const maxDrain = 64 << 10

// RoundTripper returns a transport over base (http.DefaultTransport if nil) that adds credentials
// to requests: the bearer token and, for KindWatchGuard, the API key. For KindAPIKey it adds
// nothing: the key is a form field.
//
// Only requests to the profile's hosts, over https or to this machine, get credentials; other
// requests, such as redirects to another host, pass unchanged. A 401 answer is reported to the
// Source, and the request is sent again with the next token if it has no body or can reopen it
// (GetBody). The caller handles 403 and 419, because a new token does not help.
//
// The request is never changed, and its body is closed on every path.
func (s *Source) RoundTripper(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &roundTripper{source: s, base: base}
}

type roundTripper struct {
	source *Source
	base   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.source.Kind().FormField() || !t.source.hosts.has(req.URL) {
		return t.base.RoundTrip(req)
	}

	token, err := t.source.Token(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}

	resp, err := t.base.RoundTrip(t.signed(req, req.Body, token))
	if err != nil {
		return nil, err
	}

	t.report(resp, token)
	if resp.StatusCode != http.StatusUnauthorized {
		return resp, nil
	}

	return t.retry(req, resp, token)
}

// report reports to the Source whether the service accepted token. Of the errors, only 401 says
// anything about that.
func (t *roundTripper) report(resp *http.Response, token string) {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		t.source.Rejected(token)
	case resp.StatusCode < 400:
		t.source.Accepted(token)
	}
}

// retry repeats a request that was answered with 401. If it cannot be repeated, it returns that
// answer.
func (t *roundTripper) retry(req *http.Request, refused *http.Response, token string) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return refused, nil
	}

	next, err := t.source.Token(req.Context())
	if err != nil || next == token {
		return refused, nil //nolint:nilerr // the refusal is the answer then
	}

	body := req.Body
	if req.GetBody != nil {
		if body, err = req.GetBody(); err != nil {
			return refused, nil //nolint:nilerr // as above
		}
	}

	_, _ = io.CopyN(io.Discard, refused.Body, maxDrain)
	_ = refused.Body.Close()
	resp, err := t.base.RoundTrip(t.signed(req, body, next))
	if err != nil {
		return nil, err
	}

	t.report(resp, next)

	return resp, nil
}

// signed returns a copy of a request with a body and the credentials.
func (t *roundTripper) signed(req *http.Request, body io.ReadCloser, token string) *http.Request {
	out := req.Clone(req.Context())
	out.Body = body
	t.source.header(out.Header, token)

	return out
}

// header adds the token and, for WatchGuard Cloud, the API key.
func (s *Source) header(h http.Header, token string) {
	h.Set("Authorization", "Bearer "+token)
	if s.credential.apiKey != nil {
		h.Set("WatchGuard-API-Key", s.credential.apiKey.Get().Reveal())
	}
}
