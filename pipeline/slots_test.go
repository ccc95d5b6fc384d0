package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
)

// Of contested slots urgent gets most, and bulk some all the same.
func TestSlotsGoByWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context(), Normal); err != nil {
			t.Fatal(err)
		}
		got := make(chan Priority, 300)
		for _, p := range Priorities() {
			for range 100 {
				go func() {
					if s.acquire(context.Background(), p) == nil {
						got <- p
						s.release()
					}
				}()
			}
		}
		synctest.Wait() // all wait
		s.release()
		synctest.Wait()
		count := map[Priority]int{}
		for range 26 { // two rounds
			count[<-got]++
		}
		if count[Urgent] != 18 || count[Normal] != 6 || count[Bulk] != 2 {
			t.Errorf("of 26 slots: %v, want 18 urgent, 6 normal, 2 bulk", count)
		}
		for range 300 - 26 {
			<-got
		}
		if s.free != 1 {
			t.Errorf("%d slots are free at the end, want 1", s.free)
		}
	})
}

// A waiter that gives up loses no slot, whether or not it was its turn already.
func TestSlotsSurviveThoseWhoGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context(), Normal); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				if s.acquire(ctx, Bulk) == nil {
					s.release()
				}
			}()
		}
		synctest.Wait()
		go cancel()
		go s.release()
		synctest.Wait()
		if s.free != 1 || len(s.waiting[Bulk]) != 0 {
			t.Errorf("%d free, %d waiting; want 1 and 0", s.free, len(s.waiting[Bulk]))
		}
	})
}
