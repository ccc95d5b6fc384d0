package worker

import (
	"sync"

	"backburn/pipeline"
)

// failedReads counts how often this process could not read the contents of a job. Its zero value is
// ready, and safe for concurrent use.
type failedReads struct {
	mu    sync.Mutex
	byJob map[pipeline.Ref]int
}

// maxCountedJobs limits the jobs whose failures are counted. At this number, all counts start again
// at zero.
const maxCountedJobs = 10_000

// add counts one more failure for a job, and returns how many there have been.
func (f *failedReads) add(job pipeline.Ref) int {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.byJob == nil || len(f.byJob) >= maxCountedJobs {
		f.byJob = map[pipeline.Ref]int{}
	}
	f.byJob[job]++

	return f.byJob[job]
}

// forget removes the count of a job whose contents were read.
func (f *failedReads) forget(job pipeline.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(f.byJob, job)
}
