package watch

import (
	"container/heap"
	"sync"
	"time"
)

// maxPending bounds the names in memory. Names beyond it are not lost: the folder has them,
// and a scan judges them one by one when there is no room.
const maxPending = 1 << 15

// hints are the names that somebody reported, until the decider picks them up. Putting one
// costs a map insert, so that the event loop never falls behind. Safe for concurrent use.
type hints struct {
	mu      sync.Mutex
	names   map[string]bool // true if an event reported it
	results []result
	tracked int // names that the decider has
	wake    chan struct{}
}

func newHints() *hints {
	return &hints{names: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// put reports a name and returns false if there is no room for it. An event, other than a
// scan, says that something has just happened to the file.
func (h *hints) put(rel string, event bool) bool {
	h.mu.Lock()
	ok := len(h.names)+h.tracked < maxPending
	if ok {
		h.names[rel] = event || h.names[rel]
	}
	h.mu.Unlock()
	if ok {
		h.signal()
	}
	return ok
}

// done reports what became of taking a file.
func (h *hints) done(r result) {
	h.mu.Lock()
	h.results = append(h.results, r)
	h.mu.Unlock()
	h.signal()
}

func (h *hints) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// swap returns what was reported since, and takes emptied containers for what comes next.
func (h *hints) swap(names map[string]bool, results []result, tracked int) (map[string]bool, []result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names, h.names = h.names, names
	results, h.results = h.results, results
	h.tracked = tracked + len(names)
	return names, results
}

// phase is where a name is on its way.
type phase uint8

const (
	waiting phase = iota // for its time, in the heap
	ready                // for a place in flight
	taking               // a goroutine is at it
)

// entry is a name that was reported, and what is known of it. Owned by the decider.
type entry struct {
	rel   string
	state fileState     // as it was at the last look
	first time.Duration // when it was first reported
	since time.Duration // since when state is as it is, on the watcher's clock
	look  time.Duration // time of the last look
	due   time.Duration // time of the next
	index int           // in the heap
	tries int8          // looks or takes that went wrong in a row
	phase phase
	seen  bool // state is set
	blind bool // nobody could say whether there is a writer
	again bool // reported while taking: there may be a new file of this name
}

// queue is the heap of waiting entries, the next one due first.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }
func (q *queue) Push(x any)        { e := x.(*entry); e.index = len(*q); *q = append(*q, e) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// pending is the set of names that wait. Owned by the decider.
type pending struct {
	entries map[string]*entry
	waiting queue
	ready   []*entry // first in, first out
}

func newPending() *pending { return &pending{entries: map[string]*entry{}} }

// report adds a name, to be looked at now, or notes that there is news of it. A file that waits
// for longer than settle, since it was empty, say, is looked at after settle when an event
// speaks of it: what it had to wait for may have changed. Nearer looks stay as they are, so
// a busy writer causes no more.
func (p *pending) report(rel string, event bool, now, settle time.Duration) {
	e := p.entries[rel]
	switch {
	case e == nil:
		e = &entry{rel: rel, first: now}
		p.entries[rel] = e
		p.wait(e, now)
	case e.phase == taking:
		e.again = true
	case event && e.phase == waiting:
		soon := now + settle
		if e.tries > 0 { // it may be readable now
			soon = now
		}
		if e.due > soon {
			e.due = soon
			heap.Fix(&p.waiting, e.index)
		}
	}
}

// wait puts an entry that is in none of the queues into the heap.
func (p *pending) wait(e *entry, due time.Duration) {
	e.phase, e.due = waiting, due
	heap.Push(&p.waiting, e)
}

// next takes the next entry that is due out of the heap, or returns nil and when it will be.
func (p *pending) next(now time.Duration) (e *entry, due time.Duration, any bool) {
	if len(p.waiting) == 0 {
		return nil, 0, false
	}
	if first := p.waiting[0]; first.due > now {
		return nil, first.due, true
	}
	return heap.Pop(&p.waiting).(*entry), 0, true
}

// enqueue lets an entry wait for a place in flight.
func (p *pending) enqueue(e *entry) {
	e.phase = ready
	p.ready = append(p.ready, e)
}

// dequeue takes the entry that has waited longest, or nil.
func (p *pending) dequeue() *entry {
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

// oldest is when the name that has waited longest was first reported.
func (p *pending) oldest() (first time.Duration, any bool) {
	for _, e := range p.entries {
		if !any || e.first < first {
			first, any = e.first, true
		}
	}
	return first, any
}

// forget drops an entry that is in none of the queues.
func (p *pending) forget(e *entry) { delete(p.entries, e.rel) }
