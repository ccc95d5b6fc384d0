package backoff_test

import (
	"testing"
	"time"

	"backburn/internal/backoff"
)

func TestDoubled(t *testing.T) {
	t.Parallel()
	const low, high = time.Second, 10 * time.Second
	for times, want := range map[int]time.Duration{
		-1:      low,
		0:       low,
		1:       2 * time.Second,
		3:       8 * time.Second,
		4:       high,
		1 << 40: high,
	} {
		if got := backoff.Doubled(times, low, high); got != want {
			t.Errorf("Doubled(%d) = %s, want %s", times, got, want)
		}
	}
	if got := backoff.Doubled(0, high, low); got != low {
		t.Errorf("a first delay beyond the limit gave %s, want %s", got, low)
	}
	if got := backoff.Doubled(100, time.Hour, 1<<61); got != 1<<61 {
		t.Errorf("many doublings of a long delay gave %s", got)
	}
}

func TestDelayIsInTheUpperHalf(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		d := backoff.Delay(2, time.Second, time.Minute)
		if d < 2*time.Second || d > 4*time.Second {
			t.Fatalf("got %s, want 2s to 4s", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 delays had %d different lengths", len(seen))
	}
	if d := backoff.UpperHalf(3, 0); d != 1 {
		t.Errorf("got %d, want 1", d)
	}
	if d := backoff.UpperHalf(3, 1); d != 3 {
		t.Errorf("got %d, want 3", d)
	}
	if d := backoff.Delay(5, 0, 0); d != 0 {
		t.Errorf("got %s, want none", d)
	}
}
