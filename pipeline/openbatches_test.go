package pipeline_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/results"
)

// Thirty workers write at once to a server that allows two open batches of a stream: it refuses
// most of them, and nothing comes of that but another try.
func TestManyWorkersWithFewOpenBatches(t *testing.T) {
	t.Parallel()
	s := testkit.StartNATS(t, &server.Options{
		SyncAlways:      true,
		JetStreamLimits: server.JSLimitOpts{MaxBatchInflightPerStream: 2},
	})
	f := newFixtureOn(t, openQueue(t, connect(t, s)))
	const workers, jobs = 30, 300
	for i := range jobs {
		f.raw(fmt.Sprint("job-", i), fmt.Sprint("source-", i%3), "x.exe", fmt.Sprint("MZ ", i))
	}
	for range workers {
		f.workOn(openQueue(t, connect(t, s)))
	}

	all := f.events(jobs)
	for i := range jobs {
		if ev := all.one(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict {
			t.Errorf("job %d ended %s", i, ev.Outcome())
		}
	}
	if n := len(all.ofType(results.Submitted)); n != jobs {
		t.Errorf("%d submitted events of %d jobs", n, jobs)
	}
}
