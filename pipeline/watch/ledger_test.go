package watch_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backburn/pipeline/watch"
)

func TestLedgerForgetsFilesThatAreGoneAndShrinks(t *testing.T) {
	t.Parallel()
	const n = 10_000
	l := watch.OpenLedger(t, t.TempDir())
	watch.ForEach(n, func(i int) { l.Published(i, fmt.Sprintf("some/folder/with/a/name/file-%d", i)) })
	full := l.Size()
	watch.ForEach(n/100, func(i int) { l.Finished(i) })
	// A round ends with a call that reaches the last record.
	round := func(there func(rel string) bool) {
		for range n/4096 + 1 {
			l.Tend(there)
		}
	}
	even := func(rel string) bool { return strings.HasSuffix(rel, "0") }
	round(func(string) bool { return false })
	for i := range n {
		if !l.Has(i) {
			t.Fatalf("file %d was forgotten in the first round", i)
		}
	}
	round(even)
	for i := range n {
		if l.Has(i) != (i%10 == 0) {
			t.Fatalf("file %d is known: %v", i, l.Has(i))
		}
	}
	if size := l.Size(); size > full/2 {
		t.Errorf("%d bytes after nearly all is gone, %d before", size, full)
	}
	// What is in flight is no matter of files.
	if open := l.Open(); open != n-n/100 {
		t.Errorf("%d jobs are open, want %d", open, n-n/100)
	}
}

func TestFinalEventAheadOfItsRecord(t *testing.T) {
	t.Parallel()
	l := watch.OpenLedger(t, t.TempDir())
	if l.Finished(1) {
		t.Error("an unknown job was open")
	}
	l.Published(1, "a")
	if open := l.Open(); open != 0 {
		t.Errorf("%d jobs are open, though the event came first", open)
	}
	l.Published(2, "b")
	if !l.Finished(2) || l.Open() != 0 {
		t.Error("the job is not closed")
	}
}

func TestLedgerRecords(t *testing.T) {
	t.Parallel()
	for _, rel := range []string{"a", "x/\xff\n", strings.Repeat("n", 4096)} {
		if err := watch.RecordRoundTrip(rel); err != nil {
			t.Error(err)
		}
	}
	for n := range 200 {
		watch.DecodeRecord(make([]byte, n)) // must not panic
	}
}

// TestClockSteps checks that a step of the system's clock never makes a file look older than
// it is. Inside the bubble only the first of the two clocks can be set, by asking about a
// moment of the second that does not fit.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := watch.NewCautiousClock()
		time.Sleep(time.Minute)
		wall := time.Now().UnixNano()
		if got := c.Now(time.Minute); got != wall {
			t.Errorf("without a step it is off by %v", time.Duration(got-wall))
		}
		// The system's clock is an hour ahead of what the other one says.
		if got := c.Now(time.Minute - time.Hour); got != wall-int64(time.Hour) {
			t.Errorf("a step forward shows by %v", time.Duration(got-wall))
		}
		// It is an hour behind.
		if got := c.Now(time.Minute + time.Hour); got != wall {
			t.Errorf("a step back shows by %v", time.Duration(got-wall))
		}
		// After two more looks the step forward is forgotten.
		c.Anchor(time.Minute - time.Hour)
		if got := c.Now(time.Minute - time.Hour); got != wall-int64(time.Hour) {
			t.Errorf("the step is forgotten too soon")
		}
		c.Anchor(time.Minute - time.Hour)
		if got := c.Now(time.Minute - time.Hour); got != wall {
			t.Errorf("the step is not forgotten: off by %v", time.Duration(got-wall))
		}
	})
}

func TestFaultsOfParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := watch.NewHealth()
		if !h.Part("claim", "no space") || h.Part("claim", "no space left") {
			t.Error("the first fault is news, the second isn't")
		}
		time.Sleep(time.Minute)
		if !h.Part("claim", "no space") {
			t.Error("after a minute it is news again")
		}
		h.Part("intake", "away")
		if over := h.Expire(2 * time.Minute); len(over) != 0 {
			t.Errorf("over: %v", over)
		}
		time.Sleep(2*time.Minute + 1)
		if over := h.Expire(2 * time.Minute); len(over) != 1 || over[0] != "claim" {
			t.Errorf("over: %v", over)
		}
		if !h.Part("intake", "") || h.Part("intake", "") {
			t.Error("the end is news once")
		}
	})
}

func TestLedgerOutlivesATornCompaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := watch.OpenLedger(t, dir)
	l.Published(1, "a")
	l.Close()
	if err := os.WriteFile(l.Path()+".new", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l = watch.OpenLedger(t, dir); !l.Has(1) {
		t.Error("the record is gone")
	}
}
