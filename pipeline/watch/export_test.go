package watch

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"backburn/internal/rootfs"
)

// SetStep lets a test hear of every step that a file takes.
func (w *Watcher) SetStep(f func(step string)) { w.step = f }

// SetOnEvent lets a test hear of every event, in the event loop.
func (w *Watcher) SetOnEvent(f func()) { w.onEvent = f }

// SetOnScan lets a test hear of every full scan's end.
func (w *Watcher) SetOnScan(f func()) { w.onScan = f }

// SetReconcile sets how often claimed files are compared with what the queue knows.
func (w *Watcher) SetReconcile(every, age time.Duration) {
	w.reconcileEvery = every
	w.reconcileAge = age
}

// SetPublishWait bounds one try to publish a job.
func (w *Watcher) SetPublishWait(d time.Duration) { w.publishWait = d }

// BareScan returns a scan of a folder that visits entries and judges nothing.
func BareScan(t testing.TB, dir string) func() (entries int) {
	cfg := DefaultConfig()
	cfg.Path, cfg.Source = dir, "test"
	r, err := rootfs.Open(dir, rootfs.OneMount())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	w := &Watcher{cfg: cfg, m: newMetrics(nil, "test"), troubles: &troubles{}}
	f := &finder{folder: &folder{w: w, cfg: cfg, root: r}, scans: newScans()}
	return func() (n int) {
		err := f.scanTree(t.Context(), "", func(context.Context, string, fs.FileMode) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// CautiousClock is the clock by which the age of files is judged.
type CautiousClock struct{ c cautiousClock }

// NewCautiousClock makes a clock as a new watcher has it.
func NewCautiousClock() *CautiousClock {
	c := &CautiousClock{}
	c.c.anchor(0)
	c.c.anchor(0)
	return c
}

// Anchor notes how the clocks stand to each other.
func (c *CautiousClock) Anchor(elapsed time.Duration) { c.c.anchor(elapsed) }

// Now is the time of day.
func (c *CautiousClock) Now(elapsed time.Duration) int64 { return c.c.now(elapsed) }
