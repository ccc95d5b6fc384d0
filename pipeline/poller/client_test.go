package poller

import (
	"testing"
	"time"
)

// An unanswered question is repeated after firstRepeat, then ever more rarely.
func TestQuestionsAreRepeatedEverMoreRarely(t *testing.T) {
	t.Parallel()
	const lease = 15 * time.Second
	want := []time.Duration{firstRepeat, 2 * firstRepeat, 4 * firstRepeat, 8 * firstRepeat, lease / 3, lease / 3}
	for i, d := range want {
		if got := untilRepeat(i+1, lease); got != d {
			t.Errorf("after %d messages the next follows after %s, want %s", i+1, got, d)
		}
	}
	if got := untilRepeat(1000, lease); got != lease/3 {
		t.Errorf("after many messages the next follows after %s", got)
	}
}
