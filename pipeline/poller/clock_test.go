package poller

import (
	"testing"
	"time"
)

// What the clock skipped does not count for the samples that were submitted before. A later term of
// the same process knows of it. If the clock is set back, only what remains of the skip counts.
func TestSkippedTime(t *testing.T) {
	t.Parallel()
	start := time.Now()
	jumps := time.Duration(0) // all jumps so far
	c := newClock(func() time.Time { return time.Now().Add(jumps) })
	jump := func(by, want time.Duration) {
		t.Helper()
		jumps += by
		if got := c.jumped(); (got - want).Abs() > time.Second {
			t.Errorf("after a jump by %s the clock reports %s, want %s", by, got, want)
		}
	}
	skipped := func(since time.Time, want time.Duration) {
		t.Helper()
		if got := c.skippedSince(since); (got - want).Abs() > time.Second {
			t.Errorf("%s were skipped, want %s", got, want)
		}
	}

	jump(time.Second, 0) // as the clock is adjusted
	jump(3*time.Hour, 3*time.Hour)
	skipped(start, 3*time.Hour)
	skipped(c.wall, 0)

	jumps += time.Hour // while another worker leads
	c.restart()
	jump(0, 0)
	skipped(start, 3*time.Hour)

	jump(2*time.Hour, 2*time.Hour)
	jump(-4*time.Hour, -4*time.Hour)
	skipped(start, time.Hour)
	jump(-2*time.Hour, -2*time.Hour)
	skipped(start, 0)
}
