package judge

import (
	"strconv"
	"testing"
	"time"

	"backburn/wildfire"
)

// A verdict is cached for a short time, and the cache is bounded.
func TestRecent(t *testing.T) {
	t.Parallel()
	var r recent
	began := time.Now()
	r.put("a", wildfire.Malware, began)
	for i := range maxRecent - 1 {
		r.put(strconv.Itoa(i), wildfire.Benign, began.Add(time.Second))
	}
	for after, want := range map[time.Duration]bool{0: true, recentTTL - 1: true, recentTTL: false} {
		if v, ok := r.get("a", began.Add(after)); ok != want || ok && v != wildfire.Malware {
			t.Errorf("%s: %v, %v", after, v, ok)
		}
	}
	for i := range 10 * maxRecent {
		r.put("more "+strconv.Itoa(i), wildfire.Benign, began.Add(time.Second))
	}
	if n := len(r.current) + len(r.previous); n > 2*maxRecent {
		t.Errorf("%d verdicts are cached", n)
	}
	if _, ok := r.get("a", began); ok {
		t.Error("the oldest verdict never expires")
	}
}
