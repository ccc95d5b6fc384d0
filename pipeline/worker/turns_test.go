package worker

import (
	"testing"
	"time"
)

// Samples are claimed before a slot is free only if uploads finish faster than claims can be
// written.
func TestTurnsAhead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim, pause time.Duration
		want         int
	}{
		"no uploads yet":                   {0, 0, 4},
		"uploads take long":                {5 * time.Millisecond, 300 * time.Millisecond, 4},
		"the rate is low":                  {20 * time.Millisecond, 500 * time.Millisecond, 4},
		"claims take as long":              {6 * time.Millisecond, 2 * time.Millisecond, 4 + 3},
		"claims take far longer":           {90 * time.Millisecond, time.Millisecond, 4 + 4*maxExtraTurns},
		"claims and uploads take no time":  {10 * time.Microsecond, 100 * time.Microsecond, 4},
		"all uploads end at the same time": {time.Second, 0, 4 + 4*maxExtraTurns},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turns := newTurns(4)
			now := time.Now()
			for i := 0; i < 200 && c.claim > 0; i++ {
				turns.claimed(c.claim)
				now = now.Add(c.pause)
				turns.uploaded(now)
			}
			if turns.size != c.want {
				t.Errorf("%d turns for 4 slots, want %d", turns.size, c.want)
			}
		})
	}
}
