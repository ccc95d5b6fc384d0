package poller

import (
	"time"
)

// clock detects that the time of day was set.
type clock struct {
	now  func() time.Time
	wall time.Time // Round(0): without the monotonic reading
	mono time.Time
}

// smallJump is the largest difference that does not count as a jump. Slewing, rounding and a busy
// machine cause small ones.
const smallJump = 5 * time.Second

func newClock(now func() time.Time) *clock {
	return &clock{now: now, wall: now().Round(0), mono: time.Now()}
}

// jumped returns how far the clock was set back since the last call, as a negative duration, or 0
// if it was not. A clock that was set forward needs no correction: it only makes entries due
// sooner.
func (c *clock) jumped() time.Duration {
	wall := c.now().Round(0)
	mono := time.Now()
	by := wall.Sub(c.wall) - mono.Sub(c.mono)
	c.wall = wall
	c.mono = mono

	if by < -smallJump {
		return by
	}

	return 0
}
