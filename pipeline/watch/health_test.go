package watch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"backburn/pipeline/watch"
)

// TestClockSteps checks that a step of the system's clock never makes a file look older than
// it is. Inside the bubble only the first of the two clocks can be set, by asking about a
// moment of the second that does not fit.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := watch.NewCautiousClock()
		time.Sleep(time.Minute)
		wall := time.Now().UnixNano()
		if got := c.Now(time.Minute); got != wall {
			t.Errorf("without a step it is off by %v", time.Duration(got-wall))
		}
		// The system's clock is an hour ahead of what the other one says.
		if got := c.Now(time.Minute - time.Hour); got != wall-int64(time.Hour) {
			t.Errorf("a step forward shows by %v", time.Duration(got-wall))
		}
		// It is an hour behind.
		if got := c.Now(time.Minute + time.Hour); got != wall {
			t.Errorf("a step back shows by %v", time.Duration(got-wall))
		}
		// After two more looks the step forward is forgotten.
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
