package auth

import (
	"context"
	"time"
)

// run watches the record until ctx ends, so that a token that another process got is here
// before anybody asks for it. Everything works without it, by looking. Each record goes to follow,
// with its token, nil where it has none.
func (f *shared) run(ctx context.Context, follow func(view, *held)) {
	for ctx.Err() == nil {
		f.watch(ctx, follow)
		select {
		case <-time.After(jittered(f.minter.timing.watchRetry)):
		case <-ctx.Done():
		}
	}
}

// watch follows the record until ctx ends, the watch breaks, or the secret is another one.
func (f *shared) watch(ctx context.Context, follow func(view, *held)) {
	at, err := f.place()
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
		default: // a wake-up is due already
		}
		follow(v, f.held(v))
	}
}
