package watch

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"backburn/internal/rootfs"
)

// SetStep sets a function that is called after each step of each file.
func (w *Watcher) SetStep(f func(step string)) { w.onStep = f }

// SetOnEvent sets a function that the event loop calls for each event.
func (w *Watcher) SetOnEvent(f func()) { w.onEvent = f }

// SetOnScan sets a function that is called after each full scan.
func (w *Watcher) SetOnScan(f func()) { w.onScan = f }

// SetReconcile sets how often claimed files are compared with the queue's jobs.
func (w *Watcher) SetReconcile(every, age time.Duration) {
	w.reconcileEvery = every
	w.reconcileAge = age
}

// SetPublishWait limits one attempt to publish a job.
func (w *Watcher) SetPublishWait(d time.Duration) { w.publishWait = d }

// BareScan returns a scan of a folder that visits entries without judging them.
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

// CautiousClock is the clock for judging the age of files.
type CautiousClock struct{ c cautiousClock }

// NewCautiousClock returns the clock of a new watcher.
func NewCautiousClock() *CautiousClock {
	c := &CautiousClock{}
	c.c.anchor(0)
	c.c.anchor(0)
	return c
}

// Anchor records the offset between the clocks.
func (c *CautiousClock) Anchor(elapsed time.Duration) { c.c.anchor(elapsed) }

// Now returns the time of day.
func (c *CautiousClock) Now(elapsed time.Duration) int64 { return c.c.now(elapsed) }

// SyncTogether syncs the files with these names below dir in one group, and returns their errors.
// A name that begins with - is the one of a file that cannot be synced.
func SyncTogether(t testing.TB, dir string, names ...string) []error {
	r, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var group []*syncRequest
	for _, name := range names {
		f, err := r.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if name[0] == '-' {
			f.Close()
		}
		defer f.Close()
		group = append(group, &syncRequest{f: f, dirs: []syncDir{{r, ""}}})
	}

	newSyncer(&folder{root: r}, func() {}).flush(group)
	errs := make([]error, len(group))
	for i, req := range group {
		errs[i] = req.err
	}

	return errs
}
