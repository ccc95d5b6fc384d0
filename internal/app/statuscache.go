package app

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline/queue"
)

// statusCache reads the state of the fleet from NATS and caches it for a short time, so that a
// dozen open dashboards and a scraper cause one read. It is safe for concurrent use.
type statusCache struct {
	read    func(context.Context) (queue.Status, error)
	reading chan struct{} // a semaphore: it has one element while a caller reads

	mu     sync.Mutex
	last   queue.Status // never modified
	err    error        // error of the last read
	readAt time.Time    // when last and err were read; zero: never

	failingFrom time.Time // when the reads began to fail; zero: the last one succeeded
}

func newStatusCache(read func(context.Context) (queue.Status, error)) *statusCache {
	return &statusCache{read: read, reading: make(chan struct{}, 1)}
}

// status returns the result of a read, a state or an error, that is at most maxAge old. A caller
// that arrives during another's read waits for its result, or for the end of ctx.
func (c *statusCache) status(ctx context.Context, maxAge time.Duration) (queue.Status, error) {
	if st, err, ok := c.cached(maxAge); ok {
		return st, err
	}

	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return queue.Status{}, context.Cause(ctx)
	}

	if st, err, ok := c.cached(maxAge); ok {
		return st, err
	}

	st, err := c.read(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.failingFrom = time.Time{}
	case c.failingFrom.IsZero():
		c.failingFrom = time.Now().UTC()
	}

	if err != nil && ctx.Err() != nil {
		return st, err // do not cache an error caused by this caller's own timeout
	}

	c.last = st
	c.err = err
	c.readAt = time.Now()

	return st, err
}

// cached returns the result of the last read. ok reports whether it is at most maxAge old.
func (c *statusCache) cached(maxAge time.Duration) (st queue.Status, err error, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.err, !c.readAt.IsZero() && time.Since(c.readAt) < maxAge
}

// failingSince returns when the reads began to fail, or now if the last one succeeded.
func (c *statusCache) failingSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failingFrom.IsZero() {
		return time.Now().UTC()
	}

	return c.failingFrom
}
