package oauth

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"backburn/auth/internal/secret"
	"backburn/internal/backoff"
	"backburn/internal/proxy"
)

const (
	// MaxBody is the largest accepted answer, in bytes.
	MaxBody = 1 << 20
	// Timeout limits one request to a token endpoint, from dialing to the last byte.
	Timeout = 20 * time.Second

	maxRetryAfter = 5 * time.Minute
)

// NewTransport returns the transport for token endpoints. Connections are not reused: tokens are
// fetched minutes apart, and a firewall that dropped an idle connection would make the next renewal
// fail.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxy.CheckConnect,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  Timeout,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// formTransport is the transport for one request of golang.org/x/oauth2 to a token endpoint. It
// adapts the request to the vendor's server. It adds the client's credentials to a copy of the
// request, so that errors of the caller cannot contain the credentials. It limits the size of the
// answer, removes expires_in, which x/oauth2 parses too strictly, and records the details of
// errors.
type formTransport struct {
	client   Client
	password secret.Secret
	seen     answer // set by RoundTrip
}

// answer is a token endpoint's answer without the tokens.
type answer struct {
	sent       time.Time // when the request was sent; lives are counted from then
	received   bool
	status     int
	mediaType  string
	size       int
	retryAfter time.Duration
	code, desc string
	expires    json.RawMessage
	tooLarge   bool
}

// RoundTrip implements http.RoundTripper.
func (t *formTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out, err := t.outgoing(req)
	if err != nil {
		return nil, err
	}

	t.seen = answer{sent: time.Now()}
	resp, err := t.client.Transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()

	t.seen.received = true
	t.seen.status = resp.StatusCode
	t.seen.retryAfter = backoff.RetryAfter(resp.Header.Get("Retry-After"), time.Now(), maxRetryAfter)
	t.seen.mediaType, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))

	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	t.seen.size = len(body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}

	if len(body) > MaxBody {
		t.seen.tooLarge = true
		return nil, errors.New("the answer is larger than 1 MiB")
	}

	return t.incoming(req, resp, body), nil
}

// outgoing returns a copy of the request of x/oauth2 with the client's credentials, in the encoding
// that the server expects.
func (t *formTransport) outgoing(req *http.Request) (*http.Request, error) {
	raw, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}

	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, errors.New("the request's form cannot be read")
	}

	out := req.Clone(req.Context())
	out.Header.Set("Accept", "application/json")
	if t.client.UserAgent != "" {
		out.Header.Set("User-Agent", t.client.UserAgent)
	}

	id, password := t.client.ID, t.password.Reveal()
	switch t.client.Auth {
	case AuthBody:
		form.Set("client_id", id)
		form.Set("client_secret", password)
	case AuthBasicForm:
		out.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
	default:
		out.SetBasicAuth(id, password)
	}

	body, mediaType := []byte(form.Encode()), "application/x-www-form-urlencoded"
	if t.client.Body == BodyJSON {
		body, mediaType = jsonForm(form), "application/json"
	}

	out.Header.Set("Content-Type", mediaType)
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()

	return out, nil
}

func jsonForm(form url.Values) []byte {
	flat := make(map[string]string, len(form))
	for k := range form {
		flat[k] = form.Get(k)
	}
	body, _ := json.Marshal(flat) // a map of strings always encodes

	return body
}

// incoming records the answer and returns it in the form that x/oauth2 expects. It recognizes JSON
// by the first byte, because some servers send it as text/plain.
func (t *formTransport) incoming(req *http.Request, resp *http.Response, body []byte) *http.Response {
	fields, ok := jsonObject(body)
	body = nil // an answer that is not JSON has no token; without its text, errors cannot quote a page that repeats the request
	if ok {
		t.seen.expires = fields["expires_in"]
		t.seen.code, t.seen.desc = serverError(fields)
		delete(fields, "expires_in")
		body, _ = json.Marshal(fields) // cannot fail, because the fields were just decoded
	}

	out := *resp
	out.Header = http.Header{"Content-Type": {"application/json"}}
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	out.Request = req // and not the copy with the credentials

	return &out
}

func jsonObject(body []byte) (fields map[string]json.RawMessage, ok bool) {
	body = bytes.TrimSpace(body)
	ok = bytes.HasPrefix(body, []byte("{")) && json.Unmarshal(body, &fields) == nil
	return fields, ok
}

// serverError returns the error in an answer, from the fields of RFC 6749 or those of WatchGuard
// Cloud.
func serverError(fields map[string]json.RawMessage) (code, desc string) {
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(fields[name], &s)

		return s
	}
	code, desc = text("error"), text("error_description")
	for _, name := range []string{"Message", "message", "detail", "title"} {
		if desc == "" {
			desc = text(name)
		}
	}

	if raw := string(fields["error"]); code == "" && raw != "" && raw != "null" && raw != `""` {
		code = "other" // an object in place of a code
	}

	return code, desc
}
