package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"backburn/internal/backoff"
	"backburn/internal/health"
	"backburn/internal/proxy"
	"backburn/internal/sink/credential"
)

// Webhook is a target that posts each event to a URL. It reads the files with credentials again for
// each attempt.
type Webhook struct {
	cfg    Config
	client *http.Client
}

// NewWebhook creates a webhook target. It returns an error if a file in cfg is not usable.
func NewWebhook(cfg Config) (*Webhook, error) {
	w := &Webhook{cfg: cfg}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, cfg.URL, nil)
	if err != nil {
		return nil, errors.New("url: not a valid URL")
	}
	if err := w.authorize(req, Message{}, time.Time{}); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	if t.TLSClientConfig, err = cfg.clientConfig(""); err != nil {
		return nil, err
	}
	t.MaxResponseHeaderBytes = 64 << 10
	t.OnProxyConnectResponse = proxy.CheckConnect
	// Without pings, attempts would share an HTTP/2 connection whose other end is gone.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: cfg.Timeout, PingTimeout: cfg.Timeout}
	w.client = &http.Client{
		Transport: t,
		// Do not send credentials to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	return w, nil
}

// Close closes idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// Send makes one attempt to post an event.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(m.Body))
	if err != nil {
		return &Fault{Kind: Misconfigured, Err: errors.New("url: not a valid URL")}
	}
	if err := w.authorize(req, m, time.Now()); err != nil {
		return &Fault{Kind: Misconfigured, Err: err, Remedy: "correct the file"}
	}
	req.Header.Set("Content-Type", m.ContentType)
	req.Header.Set("User-Agent", w.cfg.UserAgent)

	res, err := w.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // the URL may contain a secret
		}
		return networkFault("the webhook cannot be reached", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be reused

	return faultOf(res.StatusCode, backoff.RetryAfter(res.Header.Get("Retry-After"), time.Now(), maxRetryAfter))
}

// faultOf returns the fault for the status of an answer, or nil if the receiver accepted the event.
func faultOf(status int, after time.Duration) error {
	f := &Fault{Cause: health.CauseStatus, RetryAfter: after, Err: fmt.Errorf("the webhook answers %d", status)}
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusBadRequest, status == http.StatusConflict,
		status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		f.Kind = Refused
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests,
		status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		f.Kind = Unavailable
	case status >= 500:
		f.Kind = Failing
	case status/100 == 3:
		f.Kind, f.Remedy = Misconfigured, "redirects are not followed: set url to the receiver's actual URL"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Kind, f.Remedy = Misconfigured, "check the sink's secret_file, bearer_file, headers_file and certificate, and what the receiver allows"
	case status == http.StatusNotFound, status == http.StatusGone:
		f.Kind, f.Remedy = Misconfigured, "check the sink's url, and that the receiver's endpoint exists"
	default:
		f.Kind, f.Remedy = Misconfigured, "check the sink's url and format, and what the receiver expects"
	}

	return f
}

// authorize adds the credentials for the receiver.
func (w *Webhook) authorize(req *http.Request, m Message, now time.Time) error {
	headers, err := credential.ReadHeaders(w.cfg.HeadersFile)
	if err != nil {
		return fmt.Errorf("headers_file: %w", err)
	}
	for _, h := range headers {
		req.Header.Add(h.Name, h.Value.Reveal())
	}
	token, err := credential.ReadBearer(w.cfg.BearerFile)
	if err != nil {
		return fmt.Errorf("bearer_file: %w", err)
	}
	if token.IsSet() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}

	keys, err := credential.ReadKeys(w.cfg.SecretFile)
	if err != nil {
		return fmt.Errorf("secret_file: %w", err)
	}
	if len(keys) > 0 {
		req.Header.Set(credential.HeaderID, m.ID)
		req.Header.Set(credential.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
		req.Header.Set(credential.HeaderSignature, credential.Sign(keys, m.ID, now, m.Body))
	}

	return nil
}
