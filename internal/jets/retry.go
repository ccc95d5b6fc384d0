package jets

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Attempt bounds a single request. A longer one has lost its answer, as requests to a leader that
// changes do.
const Attempt = 5 * time.Second

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// New returns the JetStream that a connection reaches, in a domain where one is named.
func New(nc *nats.Conn, domain string, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if domain == "" {
		return jetstream.New(nc, opts...)
	}
	return jetstream.NewWithDomain(nc, domain, opts...)
}

// Retry makes a request until it is answered or ctx ends: each attempt gets a context of its own,
// which ends after Attempt, and an error of class Unavailable brings another. Any other error is
// returned as it is. When ctx ends, the error wraps both its cause and the last answer.
func Retry(ctx context.Context, request func(context.Context) error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstPause, longestPause

	for {
		err := attempt(ctx, request)
		if !Is(err, Unavailable) {
			return err
		}
		if serr := pause(ctx, b.NextBackOff()); serr != nil {
			return fmt.Errorf("%w (%w)", serr, err)
		}
	}
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

// deniedOr replaces the time-out of a request that the server has forbidden.
func deniedOr(nc *nats.Conn, err error, parts ...string) error {
	if Is(err, Unavailable) {
		if denied := Denied(nc, parts...); denied != nil {
			return denied
		}
	}
	return err
}
