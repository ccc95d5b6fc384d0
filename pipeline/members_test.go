package pipeline_test

import (
	"context"
	"testing"
	"time"

	"backburn/internal/testkit"
	"backburn/pipeline/fleet"
)

// A process that replaces a dead one removes its record, even if the readiness probe was the first
// to write its own. So the dead one is not shown again after the new one has left.
func TestReplacedMembersAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	control := f.q.Control()
	join := func() *fleet.Membership {
		return fleet.Join(control, 3*time.Second, fleet.Process{Role: "watcher"})
	}
	members := func() []fleet.Member {
		t.Helper()
		m, err := fleet.Members(t.Context(), control)
		if err != nil {
			t.Fatal(err)
		}

		return m
	}
	until := func(what string, reached func() bool) {
		t.Helper()
		for end := time.Now().Add(testkit.Patience); !reached(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s; members: %+v", what, members())
			}
		}
	}

	if err := join().Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	until("the first process is gone", func() bool {
		m := members()
		return len(m) == 1 && m[0].Gone
	})

	next := join()
	if err := next.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- next.Run(ctx) }()
	kv, err := f.q.JetStream().KeyValue(t.Context(), f.q.ControlBucket())
	if err != nil {
		t.Fatal(err)
	}
	until("one process has a permanent record", func() bool {
		list, err := kv.ListKeysFiltered(t.Context(), "last.>")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range list.Keys() {
			n++
		}

		return n == 1
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if m := members(); len(m) != 0 {
		t.Errorf("members after all have left: %+v", m)
	}
}
