package worker

import (
	"slices"
	"sync"

	"backburn/pipeline"
)

// claims holds the samples that this process is about to upload, or is uploading. It shows which
// claims in the ledger are still in use. A sample's record may name this worker although no
// goroutine of the worker is uploading the sample. This happens if the claim was written but the
// server's answer was lost, or if the upload's outcome could not be written. Other workers leave
// such a claim alone while this worker lives, so this worker has to notice that the claim is
// unused.
//
// claims is safe for concurrent use.
type claims struct {
	mu        sync.Mutex
	uploading map[string][]pipeline.Priority // the priorities of the uploading jobs, by sample key
}

// hold records that a job is about to upload a sample, until release is called. ok is false if a
// job that is at least as urgent already uploads the sample: the caller's job can wait for that
// upload.
func (c *claims) hold(key string, p pipeline.Priority) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	for _, other := range c.uploading[key] {
		if !p.Before(other) {
			return nil, false
		}
	}
	c.uploading[key] = append(c.uploading[key], p)

	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()

		c.uploading[key] = slices.DeleteFunc(c.uploading[key], func(o pipeline.Priority) bool { return o == p })
		if len(c.uploading[key]) == 0 {
			delete(c.uploading, key)
		}
	}, true
}

// has reports whether this process is uploading a sample, or is about to.
func (c *claims) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	return len(c.uploading[key]) > 0
}
