package poller

import (
	"container/heap"
	"time"
)

// schedule holds what is due at a time, the earliest first. It is not safe for concurrent use.
type schedule[T scheduled] []T

// scheduled is what a schedule can hold: something that has a slot.
type scheduled interface{ at() *slot }

// slot is the place of an entry in its schedule.
type slot struct {
	due time.Time
	pos int // -1: not in it
}

// unscheduled is the slot of what is in no schedule.
var unscheduled = slot{pos: -1}

func (s *slot) at() *slot { return s }

// set makes an entry due at a time, whether or not it was in the schedule.
func (h *schedule[T]) set(e T, due time.Time) {
	s := e.at()
	s.due = due
	if s.pos >= 0 {
		heap.Fix(h, s.pos)
		return
	}
	heap.Push(h, e)
}

// remove takes an entry out, if it is in.
func (h *schedule[T]) remove(e T) {
	if pos := e.at().pos; pos >= 0 {
		heap.Remove(h, pos)
	}
}

// shift moves every time by as much as the clock was set.
func (h schedule[T]) shift(by time.Duration) {
	for _, e := range h {
		e.at().due = e.at().due.Add(by)
	}
}

// Len implements heap.Interface, as do the methods that follow.
func (h schedule[T]) Len() int { return len(h) }

func (h schedule[T]) Less(i, j int) bool { return h[i].at().due.Before(h[j].at().due) }

func (h schedule[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at().pos = i
	h[j].at().pos = j
}

func (h *schedule[T]) Push(x any) {
	e := x.(T)
	e.at().pos = len(*h)
	*h = append(*h, e)
}

func (h *schedule[T]) Pop() any {
	old := *h
	last := len(old) - 1
	e := old[last]
	var none T
	old[last] = none
	*h = old[:last]
	e.at().pos = -1

	return e
}
