package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
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

// SyncDir makes the entries of a folder durable.
func SyncDir(dir string) error {
	r, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer r.close()
	return errors.Join(r.syncDir(""), syncPath(dir))
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

// Ledger is a ledger under test, of files that are numbers.
type Ledger struct {
	t testing.TB
	l *ledger
}

// OpenLedger opens a ledger in the spool of a folder.
func OpenLedger(t testing.TB, dir string) *Ledger {
	t.Helper()
	r, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	l, err := openLedger(Config{Claim: ClaimKeep}, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return &Ledger{t, l}
}

func (l *Ledger) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Error(err)
	}
}

func numberID(i int) string { return fmt.Sprintf("%026d", i) }

// Published notes file i.
func (l *Ledger) Published(i int, rel string) {
	l.t.Helper()
	l.check(l.l.published(identity{ino: uint64(i)}, record{id: numberID(i), rel: rel}, time.Now()))
}

// ForEach calls f with the numbers up to n, many at a time: what comes together is written
// together.
func ForEach(n int, f func(i int)) {
	var wg sync.WaitGroup
	for part := range 500 {
		wg.Go(func() {
			for i := part; i < n; i += 500 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// Finished notes the final event of file i.
func (l *Ledger) Finished(i int) bool {
	l.t.Helper()
	wasOpen, err := l.l.finished(numberID(i), time.Now())
	l.check(err)
	return wasOpen
}

// Tend lets the ledger look after itself.
func (l *Ledger) Tend(there func(rel string) bool) {
	l.t.Helper()
	l.check(l.l.tend(func(_ []byte, r record) bool { return there(r.rel) }))
}

// Has reports whether file i is known.
func (l *Ledger) Has(i int) bool {
	_, ok := l.l.get(identity{ino: uint64(i)})
	return ok
}

// Open is the number of jobs without a final event.
func (l *Ledger) Open() int {
	l.t.Helper()
	jobs, err := l.l.openJobs()
	l.check(err)
	return len(jobs)
}

// Size is the size of the ledger's file in bytes.
func (l *Ledger) Size() int64 {
	l.t.Helper()
	st, err := os.Stat(l.l.path)
	l.check(err)
	return st.Size()
}

// Path is where the ledger is.
func (l *Ledger) Path() string { return l.l.path }

// Close closes the ledger.
func (l *Ledger) Close() { l.l.close() }

// DecodeRecord reads a record.
func DecodeRecord(b []byte) { decodeRecord(b) }

// RecordRoundTrip writes a record and reads it again.
func RecordRoundTrip(rel string) error {
	want := record{stamp: stamp{1, -2, 3}, pending: true, sha256: [32]byte{9, 8}, id: numberID(7), rel: rel}
	if got, ok := decodeRecord(want.encode()); !ok || got != want {
		return fmt.Errorf("%+v became %+v, %v", want, got, ok)
	}
	return nil
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

// Health is the health of a folder that is fine as a whole.
type Health struct{ h health }

// NewHealth makes one.
func NewHealth() *Health {
	h := &Health{}
	h.h.set(StateOK, "")
	return h
}

// Part notes a fault, or its end.
func (h *Health) Part(name, reason string) bool { return h.h.part(name, reason) }

// Expire ends faults that have not occurred for a while.
func (h *Health) Expire(kept time.Duration) []string { return h.h.expire(kept) }
