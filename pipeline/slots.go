package pipeline

import (
	"context"
	"sync"
)

// slots hands a fixed number of upload slots to the lanes by weight: urgent goes first, and
// none starves. A lane's turns are its weight in every round of all weights; a lane with
// nobody waiting passes its turns on.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting map[Priority][]chan struct{} // first come, first served within a lane
	credit  map[Priority]int
}

// laneWeight is how many of 13 contested slots a lane gets.
var laneWeight = map[Priority]int{Urgent: 9, Normal: 3, Bulk: 1}

func newSlots(n int) *slots {
	return &slots{free: n, waiting: map[Priority][]chan struct{}{}, credit: map[Priority]int{}}
}

// acquire waits for a slot. Every nil return must be followed by one release.
func (s *slots) acquire(ctx context.Context, p Priority) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting[p] = append(s.waiting[p], turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.waiting[p] {
		if t == turn {
			s.waiting[p] = append(s.waiting[p][:i], s.waiting[p][i+1:]...)
			return ctx.Err()
		}
	}
	s.pass() // it was ours already
	return ctx.Err()
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

// pass gives a slot to whoever's turn it is. The caller holds mu.
func (s *slots) pass() {
	for range 2 {
		for _, p := range Priorities() {
			if len(s.waiting[p]) > 0 && s.credit[p] > 0 {
				s.credit[p]--
				turn := s.waiting[p][0]
				s.waiting[p] = s.waiting[p][1:]
				close(turn)
				return
			}
		}
		for p, w := range laneWeight { // a new round
			s.credit[p] = w
		}
	}
	s.free++
}
