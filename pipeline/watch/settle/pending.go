package settle

import (
	"container/heap"
	"time"
)

// RetryMin and RetryMax bound the time after which a file is looked at again that could not
// be read or moved.
const (
	RetryMin = time.Second
	RetryMax = time.Minute
)

// soon is how long a file with a writer is left alone at least.
const soon = 50 * time.Millisecond

// Outcome is what a look at a file, or the try to take it, led to.
type Outcome uint8

// Outcomes.
const (
	Forget  Outcome = iota // taken, gone, not ours, or known already
	Take                   // complete: take it
	Later                  // look again after a while
	Changed                // it is not as it was: look again now
	Writing                // there is a writer
	Blind                  // nobody can say whether there is one
	Failed                 // it could not be read or moved; look again with growing delays
)

// phase is where a name is on its way.
type phase uint8

const (
	waiting phase = iota // for its time, in the heap
	ready                // for a place in flight
	taking               // it is being taken
)

// Entry is a name that was reported, and what is known of it.
type Entry struct {
	History
	Rel   string
	Blind bool          // nobody could say whether there is a writer
	first time.Duration // when it was first reported
	due   time.Duration // time of the next look
	index int           // in the heap
	tries int8          // looks or takes that went wrong in a row
	phase phase
	again bool // reported while taking: there may be a new file of this name
}

// queue is the heap of waiting entries, the next one due first.
type queue []*Entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }
func (q *queue) Push(x any)        { e := x.(*Entry); e.index = len(*q); *q = append(*q, e) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]

	return e
}

// Pending is the set of names that wait. It is for one goroutine.
type Pending struct {
	settle  time.Duration
	entries map[string]*Entry
	waiting queue
	ready   []*Entry // first in, first out
}

// NewPending makes an empty set. settle is Rules.Settle.
func NewPending(settle time.Duration) *Pending {
	return &Pending{settle: settle, entries: map[string]*Entry{}}
}

// Len is the number of names.
func (p *Pending) Len() int { return len(p.entries) }

// Report adds a name, to be looked at now, or notes that there is news of it. A file that waits
// for longer than settle, since it was empty, say, is looked at after settle when an event
// speaks of it: what it had to wait for may have changed. Nearer looks stay as they are, so
// a busy writer causes no more.
func (p *Pending) Report(rel string, event bool, now time.Duration) {
	e := p.entries[rel]
	switch {
	case e == nil:
		e = &Entry{Rel: rel, first: now}
		p.entries[rel] = e
		p.Wait(e, now)
	case e.phase == taking:
		e.again = true
	case event && e.phase == waiting:
		next := now + p.settle
		if e.tries > 0 { // it may be readable now
			next = now
		}
		if e.due > next {
			e.due = next
			heap.Fix(&p.waiting, e.index)
		}
	}
}

// Settle notes what became of an entry that Next or Dequeue returned.
func (p *Pending) Settle(e *Entry, o Outcome, now time.Duration) {
	again := e.again
	e.again = false
	switch o {
	case Forget:
		delete(p.entries, e.Rel)
		if again {
			p.Report(e.Rel, true, now)
		}
	case Take:
		e.phase = ready
		p.ready = append(p.ready, e)
	case Writing:
		e.tries = 0
		e.Since = now
		p.Wait(e, now+max(p.settle, soon))
	case Blind:
		e.tries = 0
		e.Blind = true
		p.Wait(e, now)
	case Failed:
		e.tries = min(e.tries+1, 16)
		p.Wait(e, now+min(RetryMin<<(e.tries-1), RetryMax))
	default:
		e.tries = 0
		p.Wait(e, now)
	}
}

// Taken is Settle for the name of an entry that Dequeue returned. A name that is not being taken
// is none of this set's.
func (p *Pending) Taken(rel string, o Outcome, now time.Duration) {
	if e := p.entries[rel]; e != nil && e.phase == taking {
		p.Settle(e, o, now)
	}
}

// Wait lets an entry that is in none of the queues wait for its time.
func (p *Pending) Wait(e *Entry, due time.Duration) {
	e.phase = waiting
	e.due = due
	heap.Push(&p.waiting, e)
}

// Next takes the next entry that is due, or returns nil and when it will be. any says whether an
// entry waits at all.
func (p *Pending) Next(now time.Duration) (e *Entry, due time.Duration, any bool) {
	if len(p.waiting) == 0 {
		return nil, 0, false
	}
	if first := p.waiting[0]; first.due > now {
		return nil, first.due, true
	}

	return heap.Pop(&p.waiting).(*Entry), 0, true
}

// Ready is the number of entries that are complete and wait for a place in flight.
func (p *Pending) Ready() int { return len(p.ready) }

// Dequeue takes the complete entry that has waited longest, to be taken; nil if there is none.
func (p *Pending) Dequeue() *Entry {
	if len(p.ready) == 0 {
		return nil
	}

	e := p.ready[0]
	p.ready[0] = nil
	if p.ready = p.ready[1:]; len(p.ready) == 0 {
		p.ready = nil
	}
	e.phase = taking

	return e
}

// Oldest is when the name that has waited longest was first reported.
func (p *Pending) Oldest() (first time.Duration, any bool) {
	for _, e := range p.entries {
		if !any || e.first < first {
			first, any = e.first, true
		}
	}

	return first, any
}
