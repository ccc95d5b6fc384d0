package auth

import (
	"context"
	"time"

	"backburn/internal/backoff"
)

// run watches the record until ctx ends, so that a token of another process is available before a
// caller needs it. It is only an optimization: without it, the record is polled. It passes each
// record to follow with its token, or nil.
func (f *shared) run(ctx context.Context, follow func(view, *cachedToken)) {
	for ctx.Err() == nil {
		f.watch(ctx, follow)
		select {
		case <-time.After(backoff.Jittered(f.minter.timing.watchRetry)):
		case <-ctx.Done():
		}
	}
}

// watch follows the record until ctx ends, the watch breaks, or the secret changes.
func (f *shared) watch(ctx context.Context, follow func(view, *cachedToken)) {
	at, err := f.recordKeys()
	if err != nil {
		return
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.unwatch = cancel
	f.mu.Unlock()

	entries, err := f.bucket.Watch(ctx, at.key)
	if err != nil {
		f.minter.metrics.bucket.Inc()
		return
	}

	for e := range entries {
		v := f.open(at, e)
		select {
		case f.changed <- struct{}{}:
		default: // a wake-up is already pending
		}

		follow(v, f.cachedToken(v))
	}
}
