package watch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"backburn/pipeline/watch"
)

// TestClockSteps checks that a step of the system clock never makes a file look older than it is.
// In a synctest bubble the system clock cannot be set, so the test passes elapsed times that do not
// match it.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := watch.NewCautiousClock()
		time.Sleep(time.Minute)
		wall := time.Now().UnixNano()
		if got := c.Now(time.Minute); got != wall {
			t.Errorf("without a step it is off by %v", time.Duration(got-wall))
		}
		// The system clock is one hour ahead.
		if got := c.Now(time.Minute - time.Hour); got != wall-int64(time.Hour) {
			t.Errorf("a step forward shows by %v", time.Duration(got-wall))
		}
		// The system clock is one hour behind.
		if got := c.Now(time.Minute + time.Hour); got != wall {
			t.Errorf("a step back shows by %v", time.Duration(got-wall))
		}
		// The step forward is forgotten after two more calls of Anchor.
		c.Anchor(time.Minute - time.Hour)
		if got := c.Now(time.Minute - time.Hour); got != wall-int64(time.Hour) {
			t.Errorf("the step is forgotten too soon")
		}
		c.Anchor(time.Minute - time.Hour)
		if got := c.Now(time.Minute - time.Hour); got != wall {
			t.Errorf("the step is not forgotten: off by %v", time.Duration(got-wall))
		}
	})
}
