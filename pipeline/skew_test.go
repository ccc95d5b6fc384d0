package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"backburn/pipeline/worker"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// The clocks of the fleet's machines differ by hours. Each job gets its verdict as if they did not,
// whichever worker leads and whichever uploads the contents, at the first attempt or at a later
// one.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	const jobs = 60
	for name, skews := range map[string][]time.Duration{
		"the leader's is right":  {0, 6 * time.Hour, -6 * time.Hour},
		"the leader's is behind": {-6 * time.Hour, 0, 6 * time.Hour},
		"the leader's is ahead":  {6 * time.Hour, 0, -6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, wildfiretest.WithDelay(100*time.Millisecond), wildfiretest.WithUnknownFor(50*time.Millisecond))
			f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Rate: 0.2, Fault: wildfiretest.Fault{Status: 500}})
			f.cfg.Concurrency = 1
			f.cfg.RetryMin, f.cfg.RetryMax = 20*time.Millisecond, 100*time.Millisecond
			for _, skew := range skews {
				f.startWorker(worker.WithClock(func() time.Time { return time.Now().Add(skew) }))
			}

			for i := range jobs {
				f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i%40))
			}
			all := f.waitEvents(jobs)
			for i := range jobs {
				if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Data.Verdict != "benign" {
					t.Errorf("job-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
				}
			}
		})
	}
}
