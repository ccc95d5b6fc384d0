package queue

import (
	"fmt"
	"testing"

	"backburn/pipeline"
)

// A status names the sources with the most jobs, for any number of sources, and omits no job.
func TestJobsBySource(t *testing.T) {
	t.Parallel()
	subjects := map[string]uint64{
		"backburn.jobs.bulk.mail":    70,
		"backburn.requeue.bulk.mail": 30,
	}
	for i := range 300 {
		subjects[fmt.Sprint("backburn.jobs.bulk.s", i)] = 2
	}

	queued, by := bySource(NamesFor("backburn").byLane(subjects), pipeline.Bulk)
	all := 0
	for _, n := range by {
		all += n
	}
	if len(by) != maxListedSources+1 || by["mail"] != 100 || by["*"] != 202 || all != 700 || queued != 700 {
		t.Errorf("%d names, %d jobs of mail, %d of others, %d of all", len(by), by["mail"], by["*"], all)
	}
}
