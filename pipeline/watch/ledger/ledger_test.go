package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/ledger"
)

// testLedger is a ledger whose files are numbers.
type testLedger struct {
	*ledger.Ledger
	t   testing.TB
	dir string
}

func open(t testing.TB, dir string) *testLedger {
	t.Helper()
	r, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	l, err := ledger.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)

	return &testLedger{l, t, dir}
}

func (b *testLedger) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

func file(i int) rootfs.Identity { return rootfs.Identity{Ino: uint64(i)} }
func id(i int) string            { return fmt.Sprintf("%026d", i) }

// publish records a publication, and reports whether the job is open.
func (b *testLedger) publish(i int, rel string) bool {
	b.t.Helper()
	isOpen, err := b.MarkPublished(file(i), ledger.Record{ID: id(i), Rel: rel}, time.Now())
	b.check(err)

	return isOpen
}

func (b *testLedger) finish(i int) bool {
	b.t.Helper()
	wasOpen, err := b.MarkFinished(id(i), time.Now())
	b.check(err)

	return wasOpen
}

func (b *testLedger) has(i int) bool {
	_, ok := b.Get(file(i))

	return ok
}

func (b *testLedger) open() int {
	b.t.Helper()
	jobs, err := b.OpenJobs()
	b.check(err)

	return len(jobs)
}

func (b *testLedger) size() int64 {
	b.t.Helper()
	st, err := os.Stat(filepath.Join(b.dir, "ledger.db"))
	b.check(err)

	return st.Size()
}

// forEach calls f concurrently with the numbers up to n, so that changes are written in batches.
func forEach(n int, f func(i int)) {
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

func TestRecordsOfRemovedFilesAreDropped(t *testing.T) {
	t.Parallel()
	const n = 10_000
	l := open(t, t.TempDir())
	forEach(n, func(i int) { l.publish(i, fmt.Sprintf("some/folder/with/a/name/file-%d", i)) })
	full := l.size()
	forEach(n/100, func(i int) { l.finish(i) })
	// The call that reaches the last record ends a pass over the ledger.
	begin := time.Now()
	round := func(after time.Duration, there func(rel string) bool) {
		for range n/4096 + 1 {
			l.check(l.Maintain(begin.Add(after), func(_ []byte, r ledger.Record) bool { return there(r.Rel) }))
		}
		l.check(l.Shrink())
	}
	even := func(rel string) bool { return strings.HasSuffix(rel, "0") }

	round(0, func(string) bool { return false })
	round(59*time.Minute, func(string) bool { return false })
	for i := range n {
		if !l.has(i) {
			t.Fatalf("the record of file %d was dropped within the hour", i)
		}
	}
	round(time.Hour, even)
	for i := range n {
		if l.has(i) != (i%10 == 0) {
			t.Fatalf("file %d has a record: %v", i, l.has(i))
		}
	}
	if size := l.size(); size > full/2 {
		t.Errorf("%d bytes after nearly all records were dropped, %d before", size, full)
	}
	// Open jobs do not depend on files.
	if open := l.open(); open != n-n/100 {
		t.Errorf("%d jobs are open, want %d", open, n-n/100)
	}
}

func TestFinalEventBeforeItsRecord(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	if l.finish(1) {
		t.Error("an unknown job was open")
	}
	if l.publish(1, "a") || l.open() != 0 {
		t.Error("the job is open, though the event came first")
	}
	if !l.publish(2, "b") || !l.finish(2) || l.open() != 0 {
		t.Error("the job is not closed")
	}
}

// TestSecondPublication records two publications of one job, as of a file that two parts of a
// watcher took at the same time.
func TestSecondPublication(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	for range 2 {
		if !l.publish(1, "a") {
			t.Error("the job is not open")
		}
	}
	l.finish(1)
	if l.publish(1, "a") || l.open() != 0 {
		t.Error("the job is open again after its final event")
	}
	l.finish(2)
	l.publish(2, "b")
	if l.publish(2, "b") || l.open() != 0 {
		t.Error("the job is open, though the event came before both")
	}
}

func TestForgottenJobsAreNotKnown(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	l.publish(1, "a")
	l.publish(2, "b")
	l.publish(3, "c")
	l.finish(3)

	forgotten, err := l.ForgetJobs([]string{id(1), id(3), id(4)})
	l.check(err)
	if len(forgotten) != 1 || forgotten[0] != id(1) {
		t.Errorf("forgotten: %v", forgotten)
	}
	if l.has(1) || !l.has(2) || !l.has(3) || l.open() != 1 {
		t.Errorf("known: %v, %v, %v; %d are open", l.has(1), l.has(2), l.has(3), l.open())
	}

	// The file of an open job was removed long ago, or has become another job.
	l.check(l.Remove(file(2)))
	if forgotten, err = l.ForgetJobs([]string{id(2)}); err != nil || len(forgotten) != 1 || l.open() != 0 {
		t.Errorf("forgotten: %v (%v); %d are open", forgotten, err, l.open())
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, rel := range []string{"a", "x/\xff\n", strings.Repeat("n", 4096)} {
		want := ledger.Record{
			Stamp:     rootfs.Stamp{Size: 1, Mtime: -2, Ctime: 3},
			Restoring: true,
			SHA256:    [32]byte{9, 8},
			ID:        id(7),
			Rel:       rel,
		}
		if got, ok := ledger.DecodeRecord(want.Encode()); !ok || got != want {
			t.Errorf("%+v became %+v, %v", want, got, ok)
		}
	}
	for n := range 200 {
		ledger.DecodeRecord(make([]byte, n)) // must not panic
	}
}

func TestInterruptedCompactionIsHarmless(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	l.publish(1, "a")
	l.Close()
	if err := os.WriteFile(filepath.Join(dir, "ledger.db.new"), []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l = open(t, dir); !l.has(1) {
		t.Error("the record is gone")
	}
}

func TestFailedShrinkIsHarmless(t *testing.T) {
	t.Parallel()
	const n = 10_000
	dir := t.TempDir()
	l := open(t, dir)
	forEach(n, func(i int) { l.publish(i, fmt.Sprintf("some/folder/with/a/name/file-%d", i)) })
	forEach(n-1, func(i int) { l.check(l.Remove(file(i))) })
	if err := os.Mkdir(filepath.Join(dir, "ledger.db.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Shrink(); err == nil {
		t.Fatal("a folder was replaced by a ledger")
	}
	l.publish(1, "a")
	l.Close()
	if l = open(t, dir); !l.has(1) || !l.has(n-1) {
		t.Error("records are gone")
	}

	if err := os.Remove(filepath.Join(dir, "ledger.db.new")); err != nil {
		t.Fatal(err)
	}
	before := l.size()
	l.check(l.Shrink())
	l.publish(2, "b")
	l.Close()
	if l = open(t, dir); !l.has(1) || !l.has(2) || !l.has(n-1) {
		t.Error("records are gone after the ledger was rewritten")
	}
	if size := l.size(); size > before/2 {
		t.Errorf("%d bytes after almost all records were dropped, %d before", size, before)
	}
}
