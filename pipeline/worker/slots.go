package worker

import (
	"context"
	"slices"
	"sync"

	"backburn/pipeline"
)

// slots hands a number of slots to the lanes by weight, and within a lane to the
// sources in turn: urgent goes first, none starves, and a source that floods a lane delays
// another by one upload at a time. A lane's turns are its weight in every round of all weights;
// a lane with nobody waiting passes its turns on.
type slots struct {
	mu     sync.Mutex
	size   int // how many there are
	taken  int
	lines  map[pipeline.Priority]*line
	credit map[pipeline.Priority]int
}

// laneWeight is how many of 13 contested slots a lane gets.
var laneWeight = map[pipeline.Priority]int{pipeline.Urgent: 9, pipeline.Normal: 3, pipeline.Bulk: 1}

func newSlots(n int) *slots {
	s := &slots{
		size:   n,
		lines:  map[pipeline.Priority]*line{},
		credit: map[pipeline.Priority]int{},
	}
	for _, p := range pipeline.Priorities() {
		s.lines[p] = &line{waiting: map[string][]chan struct{}{}}
	}
	return s
}

// acquire waits for a slot. Every nil return must be followed by one release.
func (s *slots) acquire(ctx context.Context, p pipeline.Priority, source string) error {
	s.mu.Lock()
	if s.taken < s.size {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.lines[p].join(source, turn)
	s.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lines[p].leave(source, turn) { // it was ours already
		s.taken--
		s.pass()
	}

	return ctx.Err()
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.taken--
	s.pass()
}

// resize changes how many slots there are. Those that are taken beyond that stay so until they are
// released.
func (s *slots) resize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.size = n
	s.pass()
}

// pass gives the slots that are free to those whose turn it is. The caller holds mu.
func (s *slots) pass() {
	for s.taken < s.size {
		turn := s.next()
		if turn == nil {
			return
		}
		s.taken++
		close(turn)
	}
}

// next takes out the one whose turn it is; nil if nobody waits. The caller holds mu.
func (s *slots) next() chan struct{} {
	for range 2 {
		for _, p := range pipeline.Priorities() {
			if s.credit[p] == 0 {
				continue
			}
			if turn := s.lines[p].next(); turn != nil {
				s.credit[p]--
				return turn
			}
		}
		for p, w := range laneWeight { // a new round
			s.credit[p] = w
		}
	}

	return nil
}

// line is who waits in a lane: sources take turns, and within a source it is first come, first
// served.
type line struct {
	turns   []string                   // sources with somebody waiting, the next one first
	waiting map[string][]chan struct{} // by source
}

func (l *line) join(source string, turn chan struct{}) {
	if len(l.waiting[source]) == 0 {
		l.turns = append(l.turns, source)
	}
	l.waiting[source] = append(l.waiting[source], turn)
}

// leave takes out one that gives up; false if it had its turn already.
func (l *line) leave(source string, turn chan struct{}) bool {
	at := slices.Index(l.waiting[source], turn)
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

// next takes out the one whose turn it is; nil if nobody waits.
func (l *line) next() chan struct{} {
	if len(l.turns) == 0 {
		return nil
	}
	source := l.turns[0]
	turn, rest := l.waiting[source][0], l.waiting[source][1:]
	l.turns = l.turns[1:]
	if l.waiting[source] = rest; len(rest) > 0 {
		l.turns = append(l.turns, source)
	} else {
		delete(l.waiting, source)
	}
	return turn
}
