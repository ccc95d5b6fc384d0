package poller

import (
	"time"
)

// clock detects that the system's clock was set back.
type clock struct {
	now  func() time.Time
	wall time.Time // time of day at the last call, without a monotonic reading
	mono time.Time // the same time with a monotonic reading
}

// smallJump is the largest difference that is ignored. Clock adjustment, rounding and a busy
// machine cause small differences.
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
