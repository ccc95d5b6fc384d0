package poller

import (
	"time"
)

// clock detects that the system's clock was set back or forward, or that the machine was suspended.
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

// jumped returns how far the clock was set since the last call, or 0 if it was not. The duration is
// negative if the clock was set back. If the machine was suspended, jumped returns for how long.
func (c *clock) jumped() time.Duration {
	wall := c.now().Round(0)
	mono := time.Now()
	by := wall.Sub(c.wall) - mono.Sub(c.mono)
	c.wall = wall
	c.mono = mono

	if by.Abs() > smallJump {
		return by
	}

	return 0
}

// unobserved is the time that a leader's clock skipped: it was set forward, or the machine was
// suspended. WildFire cannot have been asked in that time, so it does not count towards deadlines.
// It is not safe for concurrent use.
type unobserved struct {
	clock *clock
	skips []skip // few, because the clock rarely jumps
}

// skip is one jump of the clock, with the time before it.
type skip struct {
	at time.Time
	by time.Duration
}

// note looks for a jump since the last call, and returns it.
func (u *unobserved) note() time.Duration {
	by := u.clock.jumped()
	if by <= 0 {
		return 0
	}
	u.skips = append(u.skips, skip{u.clock.wall.Add(-by), by})

	return by
}

// since returns how much of the time since t was skipped.
func (u *unobserved) since(t time.Time) time.Duration {
	sum := time.Duration(0)
	for _, s := range u.skips {
		if !s.at.Before(t) {
			sum += s.by
		}
	}

	return sum
}
