package pipeline

import (
	"container/heap"
	"iter"
	"maps"
	"time"
)

// waitlist is the batcher's index of WAITING: which jobs wait for which sample, and when
// each sample is due. It holds sequence numbers, not messages. It is not safe for
// concurrent use.
type waitlist struct {
	entries map[string]*waiting // by sample key
	due     dueHeap
	jobs    int // all of them
	queued  int // samples that wait for their turn to go back to work
}

// waiting is one sample that jobs wait for.
type waiting struct {
	key       string
	jobs      waitingJobs
	submitted time.Time // what the schedule counts from
	due       time.Time // next time to look, or to ask
	pending   bool      // WildFire has it, as far as we know: when due, ask
	busy      bool      // being looked at, asked about or settled
	again     bool      // something changed while busy
	queued    bool      // it waits for its turn to go back to work
	pos       int       // in the heap; -1: not in it
}

// waitingJob is one message of WAITING.
type waitingJob struct {
	subject string
	seq     uint64
	lane    Priority
}

// waitingJobs are those that wait for one sample. Hardly ever is it more than one, and there may
// be a million samples: one job takes no map.
type waitingJobs struct {
	one  waitingJob            // where there is just one
	more map[string]waitingJob // by subject, where there are or were several
}

func (w *waitingJobs) len() int {
	switch {
	case w.more != nil:
		return len(w.more)
	case w.one.subject != "":
		return 1
	}
	return 0
}

func (w *waitingJobs) get(subject string) (j waitingJob, ok bool) {
	if w.more != nil {
		j, ok = w.more[subject]
		return j, ok
	}
	return w.one, w.one.subject == subject
}

func (w *waitingJobs) put(j waitingJob) {
	switch {
	case w.more != nil:
		w.more[j.subject] = j
	case w.one.subject == "" || w.one.subject == j.subject:
		w.one = j
	default:
		w.more, w.one = map[string]waitingJob{w.one.subject: w.one, j.subject: j}, waitingJob{}
	}
}

func (w *waitingJobs) remove(subject string) {
	delete(w.more, subject)
	if w.one.subject == subject {
		w.one = waitingJob{}
	}
}

// all goes over the jobs in no order.
func (w *waitingJobs) all() iter.Seq[waitingJob] {
	if w.more != nil {
		return maps.Values(w.more)
	}
	return func(yield func(waitingJob) bool) {
		if w.one.subject != "" {
			yield(w.one)
		}
	}
}

func newWaitlist() *waitlist { return &waitlist{entries: map[string]*waiting{}} }

// add notes a message of WAITING that came in at a time; the newest of a subject counts.
func (l *waitlist) add(key string, j waitingJob, at time.Time) *waiting {
	e := l.entries[key]
	if e == nil {
		e = &waiting{key: key, submitted: at, pos: -1}
		l.entries[key] = e
	}
	old, known := e.jobs.get(j.subject)
	if !known {
		l.jobs++
	}
	if j.seq >= old.seq || !known {
		e.jobs.put(j)
	}
	return e
}

// remove forgets a message that has left WAITING, and the sample with its last one.
func (l *waitlist) remove(e *waiting, j waitingJob) {
	if now, known := e.jobs.get(j.subject); known && now.seq == j.seq {
		e.jobs.remove(j.subject)
		l.jobs--
	}
	if e.jobs.len() == 0 && !e.busy {
		l.drop(e)
	}
}

// drop forgets a sample.
func (l *waitlist) drop(e *waiting) {
	l.unschedule(e)
	l.queue(e, false)
	delete(l.entries, e.key)
}

// queue notes whether the sample waits for its turn to go back to work.
func (l *waitlist) queue(e *waiting, queued bool) {
	switch {
	case queued && !e.queued:
		l.queued++
	case !queued && e.queued:
		l.queued--
	}
	e.queued = queued
}

// schedule sets when the sample is due. A busy one is scheduled when it is done.
func (l *waitlist) schedule(e *waiting, at time.Time) {
	e.due = at
	switch {
	case e.busy:
	case e.pos >= 0:
		heap.Fix(&l.due, e.pos)
	default:
		heap.Push(&l.due, e)
	}
}

func (l *waitlist) unschedule(e *waiting) {
	if e.pos >= 0 {
		heap.Remove(&l.due, e.pos)
	}
}

// next is when the first sample is due; the zero time for never.
func (l *waitlist) next() time.Time {
	if len(l.due) == 0 {
		return time.Time{}
	}
	return l.due[0].due
}

// pop takes the first sample that is due by now out of the schedule; nil where none is.
func (l *waitlist) pop(now time.Time) *waiting {
	if len(l.due) == 0 || l.due[0].due.After(now) {
		return nil
	}
	return heap.Pop(&l.due).(*waiting)
}

// dueHeap orders samples by the time they are due.
type dueHeap []*waiting

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*waiting)
	e.pos = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.pos = -1
	return e
}
