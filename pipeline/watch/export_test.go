package watch

import (
	"context"
	"io/fs"
	"testing"
	"time"
)

// SetStep lets a test hear of every step that a file takes.
func (w *Watcher) SetStep(f func(step string)) { w.step = f }

// SetOnEvent lets a test hear of every event, in the event loop.
func (w *Watcher) SetOnEvent(f func()) { w.onEvent = f }

// SetOnScan lets a test hear of every full scan's end.
func (w *Watcher) SetOnScan(f func()) { w.onScan = f }

// BareScan returns a scan of a folder that visits entries and judges nothing.
func BareScan(t testing.TB, dir string) func() (entries int) {
	cfg := DefaultConfig()
	cfg.Path, cfg.Source = dir, "test"
	r, err := openRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	w := &Watcher{cfg: cfg, m: newMetrics(nil, "test"), exclude: compileGlobs(cfg.Exclude, false)}
	s := &session{w: w, ctx: t.Context(), root: r, spool: r, scans: newScans()}
	return func() (n int) {
		err := s.scanTree(t.Context(), "", func(context.Context, string, fs.FileMode) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// Globs compiles patterns and returns how they match.
func Globs(patterns []string, fold bool) func(rel string) bool {
	return compileGlobs(patterns, fold).match
}

// What is tested of ids and names.
var (
	ClaimedName  = claimedName
	SplitClaimed = splitClaimed
	IDTime       = idTime
	Numbered     = numbered
)

// NewID makes an id for a file in the watched folder itself.
func NewID(now time.Time) string { return newID(now, rootTag) }
