package watch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxSubtrees limits the number of single folders to scan. Beyond it, everything is scanned.
const maxSubtrees = 4096

// scans holds the requested scans. Safe for concurrent use.
type scans struct {
	mu         sync.Mutex
	subtrees   map[string]struct{} // new folders
	everything bool
	wake       chan struct{}
}

func newScans() *scans {
	return &scans{subtrees: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

// requestFull requests a scan of everything.
func (c *scans) requestFull() {
	c.mu.Lock()
	c.everything = true
	c.mu.Unlock()
	signal(c.wake)
}

// requestSubtree requests a scan of one folder and everything below it.
func (c *scans) requestSubtree(rel string) {
	c.mu.Lock()
	if len(c.subtrees) < maxSubtrees {
		c.subtrees[rel] = struct{}{}
	} else {
		c.everything = true
	}
	c.mu.Unlock()
	signal(c.wake)
}

// await waits until a scan is requested, ctx ends, or d has passed.
func (c *scans) await(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-time.After(d):
	}
}

// next returns the folders whose scan is requested, and clears those requests. full is true if a
// full scan is requested, until begin is called.
func (c *scans) next() (subtrees []string, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	subtrees = slices.Collect(maps.Keys(c.subtrees))
	clear(c.subtrees)

	return subtrees, c.everything
}

// begin marks the start of a full scan: later requests lead to another one.
func (c *scans) begin() {
	c.mu.Lock()
	c.everything = false
	clear(c.subtrees)
	c.mu.Unlock()
}
