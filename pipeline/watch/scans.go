package watch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxSubtrees is how many folders are remembered that are to be scanned; beyond, everything is.
const maxSubtrees = 4096

// scans is what there is to scan. Safe for concurrent use.
type scans struct {
	mu         sync.Mutex
	subtrees   map[string]struct{} // folders that have appeared
	everything bool
	wake       chan struct{}
	unwatched  atomic.Bool // a folder could not be watched during this scan
	faulty     atomic.Bool // a folder could not be scanned during this scan
}

func newScans() *scans {
	return &scans{subtrees: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

// full asks for a scan of everything, soon.
func (c *scans) full() {
	c.mu.Lock()
	c.everything = true
	c.mu.Unlock()
	c.signal()
}

// subtree asks for a scan of one folder and what is below.
func (c *scans) subtree(rel string) {
	c.mu.Lock()
	if len(c.subtrees) < maxSubtrees {
		c.subtrees[rel] = struct{}{}
	} else {
		c.everything = true
	}
	c.mu.Unlock()
	c.signal()
}

func (c *scans) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// await waits until something is asked for, ctx ends, or the time has passed.
func (c *scans) await(ctx context.Context, d time.Duration) {
	due := time.NewTimer(d)
	defer due.Stop()
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-due.C:
	}
}

// next takes what was asked for.
func (c *scans) next() (subtrees []string, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	for rel := range c.subtrees {
		subtrees = append(subtrees, rel)
	}
	clear(c.subtrees)

	return subtrees, c.everything
}

// begin notes that a full scan begins: what is asked for from now on asks for another one.
func (c *scans) begin() {
	c.mu.Lock()
	c.everything = false
	clear(c.subtrees)
	c.mu.Unlock()
	c.unwatched.Store(false)
	c.faulty.Store(false)
}
