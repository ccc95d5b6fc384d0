package worker

import (
	"context"
	"testing"
	"testing/synctest"

	"backburn/pipeline"
)

// While all lanes wait, urgent jobs get most slots, and bulk jobs still get some.
func TestSlotsGoByWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context(), pipeline.Normal, "mail"); err != nil {
			t.Fatal(err)
		}
		got := make(chan pipeline.Priority, 300)
		for _, p := range pipeline.Priorities() {
			for range 100 {
				go func() {
					if s.acquire(context.Background(), p, "mail") == nil {
						got <- p
						s.release()
					}
				}()
			}
		}
		synctest.Wait() // all wait
		s.release()
		synctest.Wait()
		count := map[pipeline.Priority]int{}
		for range 26 { // two rounds
			count[<-got]++
		}
		if count[pipeline.Urgent] != 18 || count[pipeline.Normal] != 6 || count[pipeline.Bulk] != 2 {
			t.Errorf("of 26 slots: %v, want 18 urgent, 6 normal, 2 bulk", count)
		}
		for range 300 - 26 {
			<-got
		}
		if s.taken != 0 {
			t.Errorf("%d slots are taken at the end, want none", s.taken)
		}
	})
}

// No slot is lost when a waiter gives up, even if it already had its turn.
func TestSlotsSurviveThoseWhoGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context(), pipeline.Normal, "mail"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				if s.acquire(ctx, pipeline.Bulk, "mail") == nil {
					s.release()
				}
			}()
		}
		synctest.Wait()
		go cancel()
		go s.release()
		synctest.Wait()
		if s.taken != 0 || len(s.lanes[pipeline.Bulk].turns) != 0 {
			t.Errorf("%d taken, %d waiting; want none", s.taken, len(s.lanes[pipeline.Bulk].turns))
		}
	})
}

// Within a lane sources take turns, however many jobs of one of them wait.
func TestSlotsRotateBetweenSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context(), pipeline.Normal, "first"); err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 120)
		line := func(source string, n int) {
			for range n {
				go func() {
					if s.acquire(context.Background(), pipeline.Normal, source) == nil {
						got <- source
						s.release()
					}
				}()
			}
			synctest.Wait()
		}
		line("flood", 100)
		line("mail", 10)
		line("proxy", 10)
		s.release()
		synctest.Wait()
		count := map[string]int{}
		for range 30 {
			count[<-got]++
		}
		if count["flood"] != 10 || count["mail"] != 10 || count["proxy"] != 10 {
			t.Errorf("the first 30 slots went to %v, want 10 each", count)
		}
		if s.taken != 0 || len(s.lanes[pipeline.Normal].turns) != 0 || len(s.lanes[pipeline.Normal].waiting) != 0 {
			t.Errorf("at the end %d taken, line %+v", s.taken, s.lanes[pipeline.Normal])
		}
	})
}

// With more slots, waiters continue at once. With fewer, slots in use stay in use until they are
// released.
func TestSlotsAreResized(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		got := make(chan struct{}, 10)
		for range 6 {
			go func() {
				if s.acquire(context.Background(), pipeline.Normal, "mail") == nil {
					got <- struct{}{}
				}
			}()
		}

		want := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(got) != n {
				t.Errorf("%d have a slot, want %d", len(got), n)
			}
		}
		want(1)
		s.resize(4)
		want(4)
		s.resize(2)
		s.release()
		s.release()
		want(4)
		s.release()
		want(5)
		s.release()
		want(6)
	})
}
