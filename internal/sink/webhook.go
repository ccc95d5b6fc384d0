package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"backburn/auth"
	"backburn/results"
)

// Headers of a delivery.
const (
	HeaderTimestamp = "Backburn-Timestamp" // seconds since 1970; refuse what is older than a few minutes
	HeaderSignature = "Backburn-Signature" // "v1=" and the hexadecimal HMAC-SHA256 of timestamp, ".", and body
)

// WebhookConfig says where events are posted, and how often it is tried.
type WebhookConfig struct {
	URL         string
	SecretFile  string        // with the key of the signature, read at every delivery
	DeadFile    string        // JSON lines of what was not taken, with the reason
	Timeout     time.Duration // of one try
	MaxAttempts int           // of an event
	RetryMin    time.Duration // the back-off doubles from here,
	RetryMax    time.Duration // up to here, with jitter; Retry-After is honoured up to here, too
	Transport   http.RoundTripper
}

// AckWait is longer than all tries of an event take.
func (c WebhookConfig) AckWait() time.Duration {
	return time.Duration(c.MaxAttempts)*(c.Timeout+c.RetryMax) + time.Minute
}

// Webhook posts each event as a structured CloudEvent. 2xx takes it; 408, 429, 5xx and faults of
// the network are tried again; other answers, redirections among them, will not change by trying.
type Webhook struct {
	cfg    WebhookConfig
	client *http.Client
}

// NewWebhook makes a webhook. It fails where the secret or the file of dead letters can't be used.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	if _, err := auth.ReadSecretFile(cfg.SecretFile); err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(cfg.DeadFile), 0o700); err != nil {
		return nil, fmt.Errorf("dead_file: %w", err)
	}
	f, err := os.OpenFile(cfg.DeadFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("dead_file: %w", err)
	}
	return &Webhook{cfg: cfg, client: &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, f.Close()
}

// Close drops idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// answerError is an answer that is not 2xx.
type answerError struct {
	status int
	after  time.Duration
}

func (e *answerError) Error() string { return fmt.Sprintf("the webhook answers %d", e.status) }

// again reports whether another try may help.
func (e *answerError) again() bool {
	return e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests || e.status >= 500
}

// Send posts an event until it is taken, or puts it among the dead letters.
func (w *Webhook) Send(ctx context.Context, e results.Event, body []byte) error {
	for attempt := 1; ; attempt++ {
		err := w.post(ctx, body)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var a *answerError
		isAnswer := errors.As(err, &a)
		if attempt >= w.cfg.MaxAttempts || isAnswer && !a.again() {
			return w.bury(body, attempt, err)
		}
		d := backOff(attempt, w.cfg.RetryMin, w.cfg.RetryMax)
		if isAnswer {
			d = max(d, min(a.after, w.cfg.RetryMax))
		}
		if !pause(ctx, d) {
			return ctx.Err()
		}
	}
}

func (w *Webhook) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	secret, err := auth.ReadSecretFile(w.cfg.SecretFile)
	if err != nil {
		return fmt.Errorf("secret_file: %w", err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", results.ContentType)
	req.Header.Set("User-Agent", "backburn/1")
	req.Header.Set(HeaderTimestamp, stamp)
	req.Header.Set(HeaderSignature, Sign(secret.Reveal(), stamp, body))
	res, err := w.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // an address may have a secret in it
		}
		return fmt.Errorf("the webhook can't be reached: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 == 2 {
		return nil
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return &answerError{res.StatusCode, time.Duration(max(0, min(seconds, 3600))) * time.Second}
}

// Sign makes the signature of a delivery.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// letter is a line of the file of dead letters.
type letter struct {
	Time     time.Time       `json:"time"`
	Attempts int             `json:"attempts"`
	Error    string          `json:"error"`
	Event    json.RawMessage `json:"event"`
}

// bury puts an event among the dead letters; it returns nil once it is on the disk.
func (w *Webhook) bury(body []byte, attempts int, cause error) error {
	line, err := json.Marshal(letter{time.Now().UTC(), attempts, cause.Error(), body})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.cfg.DeadFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("dead_file: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// backOff doubles from low to high, with jitter above half.
func backOff(attempt int, low, high time.Duration) time.Duration {
	d := high
	if attempt < 30 && low<<(attempt-1) < high {
		d = low << (attempt - 1)
	}
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
