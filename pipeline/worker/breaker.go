package worker

import "sync"

// breaker notices that the service fails whatever it is sent, as opposed to a file that makes
// it fail: faults of several samples without a success between them.
type breaker struct {
	mu     sync.Mutex
	failed map[string]struct{} // samples since the last success
}

// breakerSamples is how many samples have to fail in a row.
const breakerSamples = 5

// fault notes a fault, and reports whether uploads should be paused for it.
func (b *breaker) fault(sample string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = map[string]struct{}{}
	}
	b.failed[sample] = struct{}{}
	return len(b.failed) >= breakerSamples
}

// success forgets the faults.
func (b *breaker) success() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.failed)
}
