package fleet

import (
	"testing"
	"time"

	"backburn/pipeline"
)

// A pause that ends later than any pause of its kind was written by a wrong clock, and is not
// active. So a budget that was used up before the clock was set back by days can be used again.
func TestAPauseThatIsTooLong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		pause  Pause
		active bool
	}{
		"a fault":                   {Pause{Until: now.Add(LongestFaultPause)}, true},
		"a fault, too long":         {Pause{Until: now.Add(2 * LongestFaultPause)}, false},
		"a spent budget":            {Pause{Spent: true, Until: pipeline.ResetAfter(now)}, true},
		"a spent budget, too long":  {Pause{Spent: true, Until: pipeline.ResetAfter(now.Add(24 * time.Hour))}, false},
		"a person, for a long time": {Pause{By: "ann", Until: now.Add(LongestManualPause)}, true},
		"over":                      {Pause{By: "ann", Until: now}, false},
	} {
		if got := tc.pause.isActive(now); got != tc.active {
			t.Errorf("%s: active %t, want %t", name, got, tc.active)
		}
	}
}
