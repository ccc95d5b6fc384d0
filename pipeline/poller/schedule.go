package poller

import (
	"container/heap"
	"math"
	"time"
)

// schedule holds entries with the times at which they are due, the earliest first. It is not safe
// for concurrent use.
type schedule[T scheduled] []T

// scheduled is implemented by types that embed a scheduleEntry.
type scheduled interface{ entry() *scheduleEntry }

// scheduleEntry says when an entry is due, and where it is in its schedule. It is small, because
// there may be a million entries.
type scheduleEntry struct {
	due   moment
	index int32 // in the schedule; -1: not in it
}

// unscheduled is the scheduleEntry of an entry that is in no schedule.
var unscheduled = scheduleEntry{index: -1}

func (s *scheduleEntry) entry() *scheduleEntry { return s }

// moment is a time in nanoseconds since 1970, in a third of the memory of a time.Time.
type moment int64

// zeroMoment is the moment of the zero time, which is before all others.
const zeroMoment moment = math.MinInt64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return zeroMoment
	}

	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == zeroMoment {
		return time.Time{}
	}

	return time.Unix(0, int64(m))
}

// sub returns how long m is after a time.
func (m moment) sub(t time.Time) time.Duration { return m.time().Sub(t) }

// add returns the moment that is d later.
func (m moment) add(d time.Duration) moment {
	if m == zeroMoment {
		return zeroMoment
	}

	return m + moment(d)
}

// set makes an entry due at the given time. It adds the entry if the schedule does not have it.
func (h *schedule[T]) set(e T, due time.Time) {
	s := e.entry()
	s.due = momentOf(due)
	if s.index >= 0 {
		heap.Fix(h, int(s.index))
		return
	}
	heap.Push(h, e)
}

// remove removes an entry if the schedule has it.
func (h *schedule[T]) remove(e T) {
	if pos := e.entry().index; pos >= 0 {
		heap.Remove(h, int(pos))
	}
}

// shift moves all times by the given duration, after the clock was set back.
func (h schedule[T]) shift(by time.Duration) {
	for _, e := range h {
		e.entry().due = e.entry().due.add(by)
	}
}

// Len implements heap.Interface, as do the methods that follow.
func (h schedule[T]) Len() int { return len(h) }

func (h schedule[T]) Less(i, j int) bool { return h[i].entry().due < h[j].entry().due }

func (h schedule[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].entry().index = int32(i)
	h[j].entry().index = int32(j)
}

func (h *schedule[T]) Push(x any) {
	e := x.(T)
	e.entry().index = int32(len(*h))
	*h = append(*h, e)
}

func (h *schedule[T]) Pop() any {
	old := *h
	last := len(old) - 1
	e := old[last]
	var none T
	old[last] = none
	*h = old[:last]
	e.entry().index = -1

	return e
}
