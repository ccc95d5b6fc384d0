package auth

import (
	"context"
	"time"

	"backburn/internal/backoff"
)

// run watches the record until ctx ends, so that a token of another process is available before a
// caller needs it. It is only an optimization: without it, the record is polled. It passes each
// record to follow with its token, or nil.
func (s *shared) run(ctx context.Context, follow func(view, *cachedToken)) {
	for ctx.Err() == nil {
		s.watch(ctx, follow)
		select {
		case <-time.After(backoff.Jittered(s.minter.timing.watchRetry)):
		case <-ctx.Done():
		}
	}
}

// watch follows the record until ctx ends, the watch breaks, or the secret changes.
func (s *shared) watch(ctx context.Context, follow func(view, *cachedToken)) {
	keys, err := s.currentKeys()
	if err != nil {
		return
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.unwatch = cancel
	s.mu.Unlock()

	entries, err := s.bucket.Watch(ctx, keys.name)
	if err != nil {
		s.minter.metrics.bucketErrors.Inc()
		return
	}

	for e := range entries {
		v := s.unseal(keys, e)
		select {
		case s.changed <- struct{}{}:
		default: // a wake-up is already pending
		}

		follow(v, s.cachedToken(v))
	}
}
