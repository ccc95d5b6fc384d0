package pipeline

import "sync"

// claims are the samples that this process is trying to upload just now. A sample's record may
// name this worker though none of its goroutines is at it: the answer to the claim was lost,
// or what came of the upload could not be written. Nobody else would ever take such a claim
// over, since its owner is alive. Safe for concurrent use.
type claims struct {
	mu   sync.Mutex
	held map[string]int // by sample key: how many are trying
}

func newClaims() *claims { return &claims{held: map[string]int{}} }

// hold notes that an upload of a sample is tried, from before its record says so until the
// function that it returns is called.
func (c *claims) hold(key string) (release func()) {
	c.mu.Lock()
	c.held[key]++
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.held[key]--; c.held[key] == 0 {
			delete(c.held, key)
		}
	}
}

// has reports whether an upload of a sample is tried here.
func (c *claims) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[key] > 0
}
