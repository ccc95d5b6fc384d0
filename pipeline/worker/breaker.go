package worker

import "sync"

// breaker detects that the service fails for every upload, and not only for one bad sample: several
// samples fail, and in between WildFire processes none. A sample that WildFire processes and then
// rejects is not a failure of the service.
type breaker struct {
	mu     sync.Mutex
	failed map[string]struct{} // samples that failed since success was last called
}

// breakerSamples is how many samples must fail in a row.
const breakerSamples = 5

// fault records that the upload of a sample failed, and reports whether uploads should be paused.
func (b *breaker) fault(sample string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.failed == nil {
		b.failed = map[string]struct{}{}
	}
	b.failed[sample] = struct{}{}
	return len(b.failed) >= breakerSamples
}

// success records that WildFire processed an upload (Disposition.Processed): it forgets the faults.
func (b *breaker) success() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.failed)
}
