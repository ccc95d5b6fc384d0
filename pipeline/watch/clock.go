package watch

import (
	"sync/atomic"
	"time"
)

// cautiousClock is the wall clock for judging the age of files. A step of the system clock, in
// either direction, must not make a file look older than it is. So this clock returns the lowest of
// three times: the system's time, and the time on the watcher's own clock plus each of the two
// offsets that anchor recorded last. Safe for concurrent use.
//
// The protection ends with the second call of anchor after the step. Calls are so far apart that a
// file from before the step is by then really older than settle.BlindFactor times Config.Settle,
// but perhaps not older than Config.StaleAfter. A watcher that starts after the step knows nothing
// of it.
type cautiousClock struct {
	// The wall time at which the watcher's own clock was zero, as measured by the last two calls of
	// anchor, in nanoseconds since 1970.
	latest, previous atomic.Int64
}

// anchor records the offset between the two clocks. After a step of the system clock, the second
// call forgets the offset from before the step.
func (c *cautiousClock) anchor(now time.Duration) {
	zero := time.Now().UnixNano() - int64(now)
	if c.previous.Swap(c.latest.Load()) == 0 {
		c.previous.Store(zero)
	}
	c.latest.Store(zero)
}

// now returns the wall time in nanoseconds since 1970. elapsed is the time on the watcher's own
// clock.
func (c *cautiousClock) now(elapsed time.Duration) int64 {
	return min(time.Now().UnixNano(), c.latest.Load()+int64(elapsed), c.previous.Load()+int64(elapsed))
}
