package pipeline_test

import (
	"testing"
	"time"

	"backburn/pipeline"
)

func TestScheduleGrowsToItsMaximum(t *testing.T) {
	t.Parallel()
	s := pipeline.Schedule{First: 30 * time.Second, Max: 15 * time.Minute}
	start := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	want := []time.Duration{
		30 * time.Second, 90 * time.Second, 210 * time.Second, 450 * time.Second, 930 * time.Second,
		1830 * time.Second, 2730 * time.Second, 3630 * time.Second,
	}
	now := start
	for i, w := range want {
		now = s.Next(start, now)
		if got := now.Sub(start); got != w {
			t.Fatalf("query %d is due %s after the submission, want %s", i+1, got, w)
		}
	}
	if got := s.Next(start, start.AddDate(3, 0, 0)); !got.After(start.AddDate(3, 0, 0)) || got.Sub(start.AddDate(3, 0, 0)) > 15*time.Minute {
		t.Errorf("after years it is due at %s", got)
	}
}

func TestScheduleIsAlwaysInTheFuture(t *testing.T) {
	t.Parallel()
	for _, s := range []pipeline.Schedule{{time.Second, time.Second}, {time.Nanosecond, time.Hour}, {30 * time.Second, 40 * time.Second}} {
		start := time.Unix(1e9, 0)
		for _, after := range []time.Duration{-time.Hour, 0, 1, time.Second, 59 * time.Second, time.Hour, 9999 * time.Hour} {
			if now := start.Add(after); !s.Next(start, now).After(now) {
				t.Errorf("%v: %s after the submission, the next query is not in the future", s, after)
			}
		}
	}
}

func TestPacerSpreadsWhatIsLeft(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	now := midnight.Add(-12 * time.Hour)
	p := pipeline.Pacer{Limit: 1050}
	calls := 0
	for now.Before(midnight) {
		if d := p.Delay(now, 1050-calls, midnight); d > 0 {
			now = now.Add(d)
			continue
		}
		if calls++; calls > 1050 {
			t.Fatal("more calls than the budget has")
		}
	}
	if calls < 1000 {
		t.Errorf("%d of 1050 calls were made in the remaining time", calls)
	}
}

func TestPacerLetsCallsFollowEachOtherAfterAQuietHour(t *testing.T) {
	t.Parallel()
	p := pipeline.Pacer{Limit: 1050}
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	reset := now.Add(15 * time.Hour)
	n := 0
	for p.Delay(now, 1000, reset) == 0 {
		n++
	}
	if n < 40 || n > 50 {
		t.Errorf("%d calls at once, want an hour's worth of a full day", n)
	}
	if d := p.Delay(now.Add(-time.Hour), 1000, reset); d > 2*time.Minute {
		t.Errorf("after the clock was set back by an hour the next call waits %s", d)
	}
	if unlimited := (pipeline.Pacer{}); unlimited.Delay(now, 0, reset) != 0 {
		t.Error("without a limit there is a delay")
	}
}

// A burst leaves no calls for work that can wait. After some quiet hours there are such calls.
func TestPacerHasPlentyAfterAQuietHour(t *testing.T) {
	t.Parallel()
	p := pipeline.Pacer{Limit: 1050}
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	reset := now.Add(15 * time.Hour)
	if !p.Plenty(now, 1050, reset) {
		t.Error("at first there is no plenty")
	}
	for p.Delay(now, 1000, reset) == 0 {
	}
	if p.Plenty(now, 1000, reset) {
		t.Error("there is plenty right after a burst")
	}
	if !p.Plenty(now.Add(time.Hour), 1000, reset) {
		t.Error("there is no plenty after a quiet hour")
	}
}
