package auth_test

import (
	"testing"
	"time"

	"backburn/auth"
)

// TestATokenExpiresByEitherClock: the monotonic clock stops while a machine sleeps, the wall
// clock can be set.
func TestATokenExpiresByEitherClock(t *testing.T) {
	t.Parallel()
	const life = 900 * time.Second
	tests := []struct {
		name       string
		mono, wall time.Duration
		want       string
	}{
		{"both say fresh", time.Minute, time.Minute, "fresh"},
		{"slept", time.Minute, time.Hour, "expired"},
		{"clock set back", 16 * time.Minute, -24 * time.Hour, "expired"},
		{"clock set back a little", time.Minute, -time.Hour, "fresh"},
		{"slept into the window", time.Minute, 895 * time.Second, "stale"},
		{"exactly at the end", life, 0, "expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := auth.Phase(life, tt.mono, tt.wall); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}

	if got := auth.Phase(0, 1000*time.Hour, 1000*time.Hour); got != "fresh" {
		t.Errorf("a token that does not expire is %s", got)
	}
}

func TestRenewalWindowsAreSpread(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ life, window, most time.Duration }{
		{900 * time.Second, 180 * time.Second, 180 * time.Second},
		{time.Hour, 5 * time.Minute, 5 * time.Minute},
		{20 * time.Second, 5 * time.Minute, 4 * time.Second}, // shorter than the window: a fifth
		{7199 * time.Second, 10 * time.Minute, 10 * time.Minute},
	} {
		distinct := map[time.Duration]bool{}
		for _, w := range auth.Windows(tt.life, tt.window, 200) {
			distinct[w] = true
			if w > tt.most || w < tt.most*2/3-time.Millisecond {
				t.Errorf("life %v: window of %v, want between %v and %v", tt.life, w, tt.most*2/3, tt.most)
			}
		}

		if len(distinct) < 100 {
			t.Errorf("life %v: %d different windows of 200, want them spread", tt.life, len(distinct))
		}
	}
}
