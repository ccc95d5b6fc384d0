package poller

import "time"

// clock detects that the system's clock was set back or forward, or that the machine was suspended.
// It is not safe for concurrent use.
type clock struct {
	now   func() time.Time
	wall  time.Time // time of day at the last call of restart, without a monotonic reading
	mono  time.Time // the same time with a monotonic reading
	skips []skip    // few, because the clock rarely jumps
}

// skip is time that the clock skipped while this worker led. WildFire cannot have been asked in
// that time, so it does not count towards deadlines.
type skip struct {
	at time.Time // the time before the jump
	by time.Duration
}

// smallJump is the largest difference that is ignored. Clock adjustment, rounding and a busy
// machine cause small differences.
const smallJump = 5 * time.Second

func newClock(now func() time.Time) *clock {
	c := &clock{now: now}
	c.restart()

	return c
}

// restart makes the next call of jumped measure from now on. A new leader calls it, so that jumps
// before its term are ignored.
func (c *clock) restart() {
	c.wall = c.now().Round(0)
	c.mono = time.Now()
}

// jumped returns how far the clock was set since the last call, or 0 if it was not. The duration is
// negative if the clock was set back. If the machine was suspended, jumped returns for how long.
func (c *clock) jumped() time.Duration {
	wall := c.wall
	mono := c.mono
	c.restart()
	by := c.wall.Sub(wall) - c.mono.Sub(mono)

	switch {
	case by.Abs() <= smallJump:
		return 0
	case by > 0:
		c.skips = append(c.skips, skip{c.wall.Add(-by), by})
	default:
		c.takeBack(-by)
	}

	return by
}

// takeBack shortens the newest skips by d in total, because the clock was set back.
func (c *clock) takeBack(d time.Duration) {
	for d > 0 && len(c.skips) > 0 {
		newest := &c.skips[len(c.skips)-1]
		part := min(d, newest.by)
		d -= part
		if newest.by -= part; newest.by == 0 {
			c.skips = c.skips[:len(c.skips)-1]
		}
	}
}

// skippedSince returns how much of the time since t was skipped. It knows only of the time in which
// this process led. If another process has led, a sample may reach its deadline early, but WildFire
// is asked about the sample once more before its jobs end.
func (c *clock) skippedSince(t time.Time) time.Duration {
	sum := time.Duration(0)
	for _, s := range c.skips {
		if !s.at.Before(t) {
			sum += s.by
		}
	}

	return sum
}
