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

// smallJump is a difference that is not a jump: slewing, rounding, a busy machine.
const smallJump = 5 * time.Second

func newClock(now func() time.Time) *clock {
	return &clock{now: now, wall: now().Round(0), mono: time.Now()}
}

// jumped returns by how much the clock was set back since the last call, as a negative duration; 0
// for not at all. A clock that was set forward, or ran fast, only makes things due.
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
