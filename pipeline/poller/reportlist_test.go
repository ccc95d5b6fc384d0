package poller

import (
	"testing"
	"time"

	"backburn/pipeline"
)

// After the clock was set back, a report is due as long from now as before, whether it has to be
// fetched or published.
func TestReportsFollowAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	const wait, back = time.Minute, -5 * time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	for name, schedule := range map[string]func(l *reportList){
		"to be fetched":   func(l *reportList) { l.put("sample", now.Add(wait)) },
		"to be published": func(l *reportList) { l.owe("sample", now.Add(wait)) },
	} {
		l := newReportList(pipeline.NewSettings(pipeline.DefaultConfig()))
		l.entries["sample"] = &reportEntry{scheduleEntry: unscheduled, key: "sample"}
		schedule(l)

		l.shift(back)

		if key, _, got := l.next(now.Add(back)); key != "" || got != wait {
			t.Errorf("a report %s is due after %v, want %v", name, got, wait)
		}
		if key, _, _ := l.next(now.Add(back + wait)); key != "sample" {
			t.Errorf("a report %s is not due when its time has come", name)
		}
	}
}
