package app

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline/queue"
)

// statusCache reads the state of the fleet from NATS and caches it for a short time, so a dozen
// open pages and a scraper cause one read. It is safe for concurrent use.
type statusCache struct {
	ask  func(context.Context) (queue.Status, error)
	turn chan struct{} // full while a caller reads

	mu   sync.Mutex
	last queue.Status // never modified
	err  error
	at   time.Time // time of last and err; zero: never

	failing time.Time // start of the current failures; zero: none
}

func newStatusCache(ask func(context.Context) (queue.Status, error)) *statusCache {
	return &statusCache{ask: ask, turn: make(chan struct{}, 1)}
}

// status returns a state, or an error, that is at most maxAge old. A caller that arrives during
// another's read waits for its result, or for the end of ctx.
func (f *statusCache) status(ctx context.Context, maxAge time.Duration) (queue.Status, error) {
	if st, err, ok := f.remembered(maxAge); ok {
		return st, err
	}

	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return queue.Status{}, context.Cause(ctx)
	}

	if st, err, ok := f.remembered(maxAge); ok {
		return st, err
	}

	st, err := f.ask(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.failing = time.Time{}
	case f.failing.IsZero():
		f.failing = time.Now().UTC()
	}

	if err != nil && ctx.Err() != nil {
		return st, err // do not cache an error caused by this caller's own timeout
	}

	f.last = st
	f.err = err
	f.at = time.Now()

	return st, err
}

func (f *statusCache) remembered(maxAge time.Duration) (queue.Status, error, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.err, !f.at.IsZero() && time.Since(f.at) < maxAge
}

// failingSince returns the start of the current failures, or now if there are none.
func (f *statusCache) failingSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing.IsZero() {
		return time.Now().UTC()
	}

	return f.failing
}
