package queue

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"backburn/results"
)

// A source that floods DEAD loses its own letters, not those of other sources.
func TestDeadLettersAreKeptBySource(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	q, err := Open(t.Context(), nc, Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  EventLimits{MaxAge: time.Hour},
		Dead:     DeadLimits{MaxBytes: 4 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	cause := results.Error{Reason: results.UnsupportedType, Message: "no"}
	letter := func(source, id string, size int) {
		t.Helper()
		m := aJob(source, id)
		m.Contents = bytes.Repeat([]byte("x"), size)
		if err := q.dead.Put(t.Context(), m, cause, 1, source+id); err != nil {
			t.Fatal(err)
		}
	}

	for i := range 20 {
		letter("mail", fmt.Sprint(i), 100)
	}
	for i := range 100 {
		letter("flood", fmt.Sprint(i), 200<<10)
	}
	for i := range 3 {
		letter("late", fmt.Sprint(i), 100)
	}
	if _, err := q.dead.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}

	n := map[string]int{}
	last := ""
	for l, err := range q.dead.All(t.Context(), DeadFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n[l.Job.Source]++
		if l.Job.Source == "flood" {
			last = l.Job.ID
		}
	}
	if n["mail"] != 20 || n["late"] != 3 {
		t.Errorf("letters by source: %v, want all 20 of mail and 3 of late", n)
	}
	if n["flood"] < 5 || last != "99" {
		t.Errorf("%d letters of the flood, up to %s: want its newest", n["flood"], last)
	}
}
