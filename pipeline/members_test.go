package pipeline_test

import (
	"context"
	"slices"
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
	members := func() []fleet.Member { return membersOf(t, control) }
	until := func(what string, reached func() bool) { untilMembers(t, control, what, reached) }

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

// Two processes of one role run on a host, the second one started shortly after the first. If one
// of them dies, the other does not count as its replacement.
func TestANeighborReplacesNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	control := f.q.Control()
	join := func() *fleet.Membership {
		return fleet.Join(control, 3*time.Second, fleet.Process{Role: "watcher"})
	}
	first := join()
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := join()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- second.Run(ctx) }()
	untilMembers(t, control, "the second process has seen the first one alive", func() bool {
		if err := first.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}

		return slices.ContainsFunc(membersOf(t, control), func(m fleet.Member) bool { return slices.Contains(m.Siblings, first.ID()) })
	})

	// The first one dies: its key is not renewed any more.
	untilMembers(t, control, "the first process is gone", func() bool {
		return slices.ContainsFunc(membersOf(t, control), func(m fleet.Member) bool { return m.ID == first.ID() && m.Gone })
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if m := membersOf(t, control); len(m) != 1 || m[0].ID != first.ID() {
		t.Errorf("members after the second one has left: %+v", m)
	}
}

func membersOf(t *testing.T, control *fleet.Store) []fleet.Member {
	t.Helper()
	m, err := fleet.Members(t.Context(), control)
	if err != nil {
		t.Fatal(err)
	}

	return m
}

func untilMembers(t *testing.T, control *fleet.Store, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s; members: %+v", what, membersOf(t, control))
		}
	}
}
