package jets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
)

// Attempt bounds a single request. After this time the answer counts as lost, for example because
// the leader changed.
const Attempt = 5 * time.Second

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// New returns the JetStream context of a connection, in a domain if one is named.
func New(nc *nats.Conn, domain string, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if domain == "" {
		return jetstream.New(nc, opts...)
	}
	return jetstream.NewWithDomain(nc, domain, opts...)
}

// Retry repeats a request until it is answered or ctx ends. Each attempt has a context of its own,
// which ends after Attempt. An error of class Unavailable leads to another attempt; any other error
// is returned unchanged, also that of an attempt during which ctx was canceled. After the deadline
// of ctx, or if ctx ends between two attempts, the error wraps its cause and the error of the last
// attempt.
func Retry(ctx context.Context, request func(context.Context) error) error {
	for earlier := 0; ; earlier++ {
		err := attempt(ctx, request)
		if !Is(err, Unavailable) {
			return err
		}
		if serr := pause(ctx, backoff.Delay(earlier, firstPause, longestPause)); serr != nil {
			return GaveUp(serr, err)
		}
	}
}

// GaveUp returns the error of a request that is no longer repeated because of stopped, usually the
// end of its context. last is the error of the last attempt.
func GaveUp(stopped, last error) error {
	if errors.Is(last, stopped) { // the attempt was stopped before it was answered
		return fmt.Errorf("no answer: %w", last)
	}

	return fmt.Errorf("%w (%w)", stopped, last)
}

func attempt(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, Attempt)
	defer cancel()
	return request(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// unlessDenied makes a request. If the request is not answered because the server denied a subject
// that contains one of the parts, it returns the error of Denied.
func unlessDenied(nc *nats.Conn, request func() error, parts ...string) error {
	earlier := nc.LastError()
	err := request()
	if Is(err, Unavailable) {
		if denied := Denied(nc, earlier, parts...); denied != nil {
			return denied
		}
	}

	return err
}
