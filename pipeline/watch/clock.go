package watch

import (
	"context"
	"sync/atomic"
	"time"
)

// cautiousClock tells the time of day by which the age of files is judged. A step of the
// system's clock, in either direction, must not make a file look older than it is, so this
// clock shows the least of what the system shows and what it would show had it not been set
// lately. Safe for concurrent use.
type cautiousClock struct {
	// What the time of day was when the watcher's own clock was at zero, as found at the
	// last two calls of anchor, in nanoseconds since 1970.
	last, before atomic.Int64
}

// anchor notes how the two clocks stand to each other. A step is forgotten at the second
// call after it.
func (c *cautiousClock) anchor(now time.Duration) {
	zero := time.Now().UnixNano() - int64(now)
	if c.before.Swap(c.last.Load()) == 0 {
		c.before.Store(zero)
	}
	c.last.Store(zero)
}

// now is the time of day in nanoseconds since 1970, when the watcher's own clock is at
// elapsed.
func (c *cautiousClock) now(elapsed time.Duration) int64 {
	return min(time.Now().UnixNano(), c.last.Load()+int64(elapsed), c.before.Load()+int64(elapsed))
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
