package worker

import (
	"context"
	"slices"
	"sync"

	"backburn/pipeline"
)

// slots gives upload slots to the lanes by weight, and within a lane to the sources in turn. Urgent
// jobs go first, and no lane starves. However many jobs a source has in a lane, it gets only one
// upload between two uploads of another source that waits. In each round a lane gets as many slots
// as its weight; the slots of a lane without waiting jobs go to the other lanes. claimTurns gives
// out its turns in the same way.
type slots struct {
	mu     sync.Mutex
	size   int // total number
	taken  int
	lanes  map[pipeline.Priority]*laneQueue
	credit map[pipeline.Priority]int // slots that a lane may still get in this round
}

// laneWeight is how many of 13 slots a lane gets while jobs of all lanes wait.
var laneWeight = map[pipeline.Priority]int{pipeline.Urgent: 9, pipeline.Normal: 3, pipeline.Bulk: 1}

func newSlots(n int) *slots {
	s := &slots{
		size:   n,
		lanes:  map[pipeline.Priority]*laneQueue{},
		credit: map[pipeline.Priority]int{},
	}
	for _, p := range pipeline.Priorities() {
		s.lanes[p] = &laneQueue{waiting: map[string][]chan struct{}{}}
	}

	return s
}

// acquire waits for a slot. After a nil error the caller must call release once.
func (s *slots) acquire(ctx context.Context, p pipeline.Priority, source string) error {
	s.mu.Lock()
	if s.taken < s.size {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	waiter := make(chan struct{})
	s.lanes[p].join(source, waiter)
	s.mu.Unlock()

	select {
	case <-waiter:
		return nil
	case <-ctx.Done():
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.lanes[p].leave(source, waiter) { // the slot was already assigned to us
		s.taken--
		s.grant()
	}

	return ctx.Err()
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.taken--
	s.grant()
}

// resize changes the number of slots. Slots in use beyond the new number stay in use until they are
// released.
func (s *slots) resize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.size = n
	s.grant()
}

// grant gives free slots to the waiters whose turn it is. The caller holds mu.
func (s *slots) grant() {
	for s.taken < s.size {
		waiter := s.next()
		if waiter == nil {
			return
		}
		s.taken++
		close(waiter)
	}
}

// next removes and returns the waiter whose turn it is; nil if nobody waits. The caller holds mu.
func (s *slots) next() chan struct{} {
	for range 2 {
		for _, p := range pipeline.Priorities() {
			if s.credit[p] == 0 {
				continue
			}
			if waiter := s.lanes[p].next(); waiter != nil {
				s.credit[p]--
				return waiter
			}
		}
		for p, w := range laneWeight { // a new round
			s.credit[p] = w
		}
	}

	return nil
}

// laneQueue holds the waiters of a lane: sources take turns, and within a source the order is first
// come, first served.
type laneQueue struct {
	turns   []string                   // sources with somebody waiting, the next one first
	waiting map[string][]chan struct{} // by source
}

func (l *laneQueue) join(source string, waiter chan struct{}) {
	if len(l.waiting[source]) == 0 {
		l.turns = append(l.turns, source)
	}
	l.waiting[source] = append(l.waiting[source], waiter)
}

// leave removes a waiter that gives up. It returns false if the waiter already got its slot.
func (l *laneQueue) leave(source string, waiter chan struct{}) bool {
	at := slices.Index(l.waiting[source], waiter)
	if at < 0 {
		return false
	}
	l.waiting[source] = slices.Delete(l.waiting[source], at, at+1)
	if len(l.waiting[source]) == 0 {
		delete(l.waiting, source)
		l.turns = slices.DeleteFunc(l.turns, func(s string) bool { return s == source })
	}

	return true
}

// next removes and returns the waiter whose turn it is; nil if nobody waits.
func (l *laneQueue) next() chan struct{} {
	if len(l.turns) == 0 {
		return nil
	}
	source := l.turns[0]
	waiter, rest := l.waiting[source][0], l.waiting[source][1:]
	l.turns = l.turns[1:]
	if l.waiting[source] = rest; len(rest) > 0 {
		l.turns = append(l.turns, source)
	} else {
		delete(l.waiting, source)
	}

	return waiter
}
