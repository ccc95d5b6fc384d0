package watch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	scanBatch    = 512 // entries read at once
	scanSpacing  = 20  // scans are at least so many times their duration apart
	maxSubtrees  = 4096
	minScanPause = time.Second // between scans that are asked for
)

// scans is what there is to scan. Safe for concurrent use.
type scans struct {
	mu         sync.Mutex
	subtrees   map[string]struct{} // folders that have appeared
	everything bool
	wake       chan struct{}
	unwatched  atomic.Bool // a folder could not be watched during this scan
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
}

// scanLoop scans everything at once, then every Config.Scan and whenever it is asked for.
func (s *session) scanLoop(ctx context.Context) error {
	last, took, err := s.scanAll(ctx)
	for err == nil && ctx.Err() == nil {
		subtrees, full := s.scans.next()
		pause := max(s.w.cfg.Scan, scanSpacing*took)
		pause += time.Duration(rand.Int64N(int64(pause)/5+1)) - pause/10 // jitter: many folders, one disk
		if full {
			pause = min(pause, max(min(minScanPause, s.w.cfg.Scan), 2*took))
		}
		// What is due comes first: folders may appear without end.
		if wait := time.Until(last.Add(pause)); wait <= 0 {
			last, took, err = s.scanAll(ctx) // and the subtrees with it
			continue
		} else if len(subtrees) == 0 {
			due := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-s.scans.wake:
			case <-due.C:
			}
			due.Stop()
		}
		for _, rel := range subtrees {
			if err := s.scanTree(ctx, rel, s.visit); err != nil && s.cantScan(rel, err) {
				s.scans.full()
			}
		}
	}
	return err
}

// scanAll scans the whole folder.
func (s *session) scanAll(ctx context.Context) (end time.Time, took time.Duration, err error) {
	begin := time.Now()
	s.scans.begin()
	var n int64
	err = s.scanTree(ctx, "", func(ctx context.Context, rel string, t fs.FileMode) error {
		n++
		return s.visit(ctx, rel, t)
	})
	if ctx.Err() != nil {
		return time.Now(), 0, nil
	}
	if err != nil {
		return time.Now(), 0, err
	}
	if !s.scans.unwatched.Load() {
		s.part("watches", "")
	}
	end, took = time.Now(), time.Since(begin)
	s.w.scanned.Store(n)
	s.w.lastScan.Store(end.UnixNano())
	s.w.m.scanEntries.Set(float64(n))
	s.w.m.scanSeconds.Observe(took.Seconds())
	if s.w.onScan != nil {
		s.w.onScan()
	}
	return end, took, nil
}

// visit reports an entry that a scan found.
func (s *session) visit(ctx context.Context, rel string, t fs.FileMode) error {
	if !t.IsRegular() {
		s.w.m.skipped["special"].Inc()
		return nil
	}
	if s.ledger != nil && s.knownName(rel) {
		return nil
	}
	if s.hints.put(rel, false) {
		return nil
	}
	// No room to remember it. Judge it as it is: what has not changed for long enough is
	// taken now, anything else is for the next scan.
	e := entry{rel: rel}
	if o, _ := s.look(&e); o != take {
		return nil
	}
	if err := s.w.flight.await(ctx); err != nil {
		return err
	}
	unchanged := s.w.clock() - e.since
	s.workers.Go(func() { s.take(s.ctx, rel, e.state, unchanged, false) })
	return nil
}

// scanTree reads a folder and, if Config.Recursive, those below, and visits everything that
// is not a folder. Entries are streamed: nothing is sorted or held, however many there are.
func (s *session) scanTree(ctx context.Context, rel string, visit func(ctx context.Context, rel string, t fs.FileMode) error) error {
	stack := []string{rel}
	for len(stack) > 0 {
		dir := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		below, err := s.scanDir(ctx, dir, visit)
		if err != nil {
			if dir == rel {
				return err
			}
			s.cantScan(dir, err)
		}
		stack = append(stack, below...)
	}
	return ctx.Err()
}

// cantScan notes why a folder can't be scanned, and reports whether that may pass.
func (s *session) cantScan(dir string, err error) (again bool) {
	switch {
	case isGone(err), s.ctx.Err() != nil:
		return false
	case isCrossDevice(err):
		s.mountedAt(dir)
		return false
	}
	s.w.m.deferred["fault"].Inc()
	s.fault("scan", err)
	return true
}

// scanDir visits what is in one folder and returns the folders in it.
func (s *session) scanDir(ctx context.Context, dir string, visit func(ctx context.Context, rel string, t fs.FileMode) error) (below []string, err error) {
	s.watchDir(dir)
	f, err := s.root.openDir(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for ctx.Err() == nil {
		entries, err := f.ReadDir(scanBatch)
		for _, d := range entries {
			rel := d.Name()
			if dir != "" {
				rel = dir + "/" + rel
			}
			if d.IsDir() {
				if s.w.cfg.Recursive && rel != spoolDir && !s.w.exclude.match(rel) {
					below = append(below, rel)
				}
				continue
			}
			if err := visit(ctx, rel, d.Type()); err != nil {
				return below, err
			}
		}
		if errors.Is(err, io.EOF) {
			return below, nil
		}
		if err != nil {
			return below, err
		}
	}
	return below, ctx.Err()
}

// isGone reports whether a folder or file was not there.
func isGone(err error) bool { return errors.Is(err, os.ErrNotExist) || isNotDir(err) }
