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

func TestRetryAfterIsParsed(t *testing.T) {
	t.Parallel()
	const limit = 24 * time.Hour
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		" 7 ":                           7 * time.Second,
		"0":                             0,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"86401":                         limit,
		"99999999999":                   limit,
		"99999999999999999999999999999": limit,
		"Sat, 21 Nov 2026 09:01:00 GMT": time.Minute,
		"Sat, 21 Nov 2026 08:59:00 GMT": 0,
		"Sat, 21 Nov 2099 09:01:00 GMT": limit,
	}
	for value, want := range tests {
		if got := backoff.RetryAfter(value, now, limit); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}
