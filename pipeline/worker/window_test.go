package worker

import (
	"context"
	"testing"
	"testing/synctest"
)

// However much room a source requests, the next source finds some.
func TestRoomIsLeftForOthers(t *testing.T) {
	t.Parallel()
	r := newWindow(320)
	held := map[string]int{}
	for _, source := range []string{"a", "b", "c"} {
		n, _ := r.tryReserve(source, 1000)
		held[source] = n
		if more, _ := r.tryReserve(source, 1000); more != 0 {
			t.Errorf("%s got %d, and then %d more", source, n, more)
		}
	}
	if held["a"] != 256 || held["b"] < 40 || held["c"] < 8 {
		t.Errorf("a source alone holds %d, want 256; the next ones %d and %d, want a fair part of the rest", held["a"], held["b"], held["c"])
	}
	// As jobs of the first source finish, the other sources catch up.
	for range 200 {
		r.release("a", 1)
		held["a"]--
		for _, source := range []string{"a", "b", "c"} {
			n, _ := r.tryReserve(source, 1)
			held[source] += n
		}
	}
	if held["b"] < 80 || held["c"] < 80 || held["a"] > 120 {
		t.Errorf("after a while they hold %v, want about as much each", held)
	}
	for source, n := range held {
		r.release(source, n)
	}
	if r.free != 320 || len(r.held) != 0 {
		t.Errorf("%d free and %v held at the end", r.free, r.held)
	}
}

func TestReserveWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWindow(10)
		if n := r.reserve(t.Context(), "a", 100); n != 8 {
			t.Fatalf("reserved %d of 10, want 8", n)
		}
		got := make(chan int)
		go func() { got <- r.reserve(t.Context(), "a", 100) }()
		synctest.Wait()
		r.release("a", 3)
		if n := <-got; n != 3 {
			t.Errorf("reserved %d of the 3 released ones", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { got <- r.reserve(ctx, "a", 100) }()
		synctest.Wait()
		cancel()
		if n := <-got; n != 0 {
			t.Errorf("reserved %d after the end", n)
		}
	})
}
