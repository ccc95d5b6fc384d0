package settle

import (
	"container/heap"
	"time"
)

// RetryMin and RetryMax limit the delay before a file that could not be read or moved is examined
// again.
const (
	RetryMin = time.Second
	RetryMax = time.Minute
)

// minWriterDelay is the minimum delay before a file that has a writer is examined again.
const minWriterDelay = 50 * time.Millisecond

// Outcome is the result of examining or taking a file.
type Outcome uint8

// Outcomes.
const (
	Forget  Outcome = iota // taken, gone, or not to be taken
	Take                   // complete: take it
	Later                  // examine it again after a while; call Wait instead of SetOutcome
	Changed                // it has changed: examine it again at once
	Writing                // a process has it open for writing
	Blind                  // it is unknown whether a process has it open for writing
	Failed                 // it could not be read or moved; retry with increasing delays
)

// phase is the state of an entry.
type phase uint8

const (
	waiting phase = iota // in the heap, until it is due
	ready                // complete; waits until one more file may be in flight
	taking               // it is being taken
)

// Entry is a reported name and its history.
type Entry struct {
	History
	Rel           string
	Blind         bool          // writers could not be detected
	firstReported time.Duration // when it was first reported
	due           time.Duration // time of the next examination
	index         int           // in the heap
	failures      int8          // consecutive failures
	phase         phase
	reportedAgain bool // reported while taking: there may be a new file with this name
}

// dueHeap is the heap of waiting entries; the one due next is first.
type dueHeap []*Entry

func (q dueHeap) Len() int           { return len(q) }
func (q dueHeap) Less(i, j int) bool { return q[i].due < q[j].due }
func (q dueHeap) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }
func (q *dueHeap) Push(x any)        { e := x.(*Entry); e.index = len(*q); *q = append(*q, e) }
func (q *dueHeap) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]

	return e
}

// Pending is the set of reported names that are not decided yet. It is not safe for concurrent use.
type Pending struct {
	settle  time.Duration
	entries map[string]*Entry
	waiting dueHeap
	ready   []*Entry // first in, first out
}

// NewPending creates an empty set. settle is Rules.Settle.
func NewPending(settle time.Duration) *Pending {
	return &Pending{settle: settle, entries: map[string]*Entry{}}
}

// Len returns the number of names.
func (p *Pending) Len() int { return len(p.entries) }

// Report adds a name, due now, or records an event for a known name. If a file has to wait for
// longer than settle, for example because it was empty, an event makes it due after settle: the
// reason for its wait may be over. After a failure to read or move the file, an event makes it due
// now. An entry that is due sooner stays as it is, so that a busy writer causes no additional work.
func (p *Pending) Report(rel string, event bool, now time.Duration) {
	e := p.entries[rel]
	switch {
	case e == nil:
		e = &Entry{Rel: rel, firstReported: now}
		p.entries[rel] = e
		p.Wait(e, now)
	case e.phase == taking:
		e.reportedAgain = true
	case event && e.phase == waiting:
		next := now + p.settle
		if e.failures > 0 { // it may be readable now
			next = now
		}
		if e.due > next {
			e.due = next
			heap.Fix(&p.waiting, e.index)
		}
	}
}

// SetOutcome records the outcome for an entry that Next or Dequeue returned.
func (p *Pending) SetOutcome(e *Entry, o Outcome, now time.Duration) {
	reportedAgain := e.reportedAgain
	e.reportedAgain = false
	switch o {
	case Forget:
		delete(p.entries, e.Rel)
		if reportedAgain {
			p.Report(e.Rel, true, now)
		}
	case Take:
		e.phase = ready
		p.ready = append(p.ready, e)
	case Writing:
		e.Since = now
		p.Wait(e, now+max(p.settle, minWriterDelay))
	case Blind:
		e.Blind = true
		p.Wait(e, now)
	case Failed:
		failures := min(e.failures+1, 16)
		p.Wait(e, now+min(RetryMin<<(failures-1), RetryMax))
		e.failures = failures
	default:
		p.Wait(e, now)
	}
}

// SetOutcomeByName records the outcome for the name of an entry that Dequeue returned. It ignores
// names that are not being taken.
func (p *Pending) SetOutcomeByName(rel string, o Outcome, now time.Duration) {
	if e := p.entries[rel]; e != nil && e.phase == taking {
		p.SetOutcome(e, o, now)
	}
}

// Wait makes an entry that Next or Dequeue returned wait until it is due. That ends a series of
// failures.
func (p *Pending) Wait(e *Entry, due time.Duration) {
	e.phase = waiting
	e.due = due
	e.failures = 0
	heap.Push(&p.waiting, e)
}

// Next returns the next entry that is due. If none is due yet, it returns nil and the time when one
// will be. ok is false if no entry waits at all.
func (p *Pending) Next(now time.Duration) (e *Entry, due time.Duration, ok bool) {
	if len(p.waiting) == 0 {
		return nil, 0, false
	}
	if first := p.waiting[0]; first.due > now {
		return nil, first.due, true
	}

	return heap.Pop(&p.waiting).(*Entry), 0, true
}

// Ready returns the number of complete entries that wait until more files may be in flight.
func (p *Pending) Ready() int { return len(p.ready) }

// Dequeue returns the complete entry that has waited longest, for taking; nil if there is none.
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

// Oldest returns when the name that has been pending longest was first reported.
func (p *Pending) Oldest() (first time.Duration, ok bool) {
	for _, e := range p.entries {
		if !ok || e.firstReported < first {
			first, ok = e.firstReported, true
		}
	}

	return first, ok
}
