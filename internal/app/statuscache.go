package app

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline/queue"
)

// statusCache asks NATS for the state of the fleet, and remembers the answer for those who come
// shortly after: a dozen open pages and a scraper cost one look, not thirteen. Safe for
// concurrent use.
type statusCache struct {
	ask  func(context.Context) (queue.Status, error)
	turn chan struct{} // holds something while somebody asks

	mu   sync.Mutex
	last queue.Status // not changed once it is here
	err  error
	at   time.Time // when last and err came about; zero: never

	failing time.Time // since when nobody tells; zero: somebody does
}

func newStatusCache(ask func(context.Context) (queue.Status, error)) *statusCache {
	return &statusCache{ask: ask, turn: make(chan struct{}, 1)}
}

// status returns a state, or an error, that is at most maxAge old. Whoever comes while
// another one asks waits for that answer, or for the end of ctx.
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
		return st, err // of this caller's impatience nobody else learns anything
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

// failingSince is since when the state could not be had; now where it can.
func (f *statusCache) failingSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing.IsZero() {
		return time.Now().UTC()
	}

	return f.failing
}
