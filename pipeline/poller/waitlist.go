package poller

import (
	"container/heap"
	"iter"
	"maps"
	"strings"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// waitlist is the poller's index of the jobs that wait: for which sample, and when each sample is
// due. It holds sequence numbers, not messages. It is not safe for concurrent use.
type waitlist struct {
	entries map[string]*waiting // by sample key
	due     schedule[*waiting]
	jobs    int // all of them
	parked  int // jobs that wait for a budget
	queued  int // samples that wait for their turn to go back to work
}

// waiting is one sample that jobs wait for.
type waiting struct {
	slot // in waitlist.due: next time to look, or to ask

	key       string
	jobs      waitingJobs
	submitted time.Time // what the schedule counts from
	pending   bool      // WildFire has it, as far as we know: when due, ask
	busy      bool      // being looked at, asked about or settled
	again     bool      // something changed while busy
	queued    bool      // it waits for its turn to go back to work
}

// waitingJob is one job that waits, as the ledger has it.
type waitingJob struct {
	subject string
	seq     uint64
	since   int64 // seconds since 1970
	lane    uint8 // index among the priorities
	parked  bool  // for a budget
}

// source is the token of the subject before the last.
func (j waitingJob) source() string {
	head := j.subject[:max(strings.LastIndexByte(j.subject, '.'), 0)]

	return head[strings.LastIndexByte(head, '.')+1:]
}

func (j waitingJob) priority() pipeline.Priority { return pipeline.Priorities()[j.lane] }

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

// add notes a job that waits since a time; the newest record of a job counts.
func (l *waitlist) add(key string, j waitingJob, at time.Time) *waiting {
	e := l.entries[key]
	if e == nil {
		e = &waiting{slot: unscheduled, key: key, submitted: at}
		l.entries[key] = e
	}

	old, known := e.jobs.get(j.subject)
	if known && j.seq < old.seq {
		return e
	}

	l.count(old, known, -1)
	l.count(j, true, 1)
	e.jobs.put(j)

	return e
}

// count notes a job that came or went.
func (l *waitlist) count(j waitingJob, known bool, by int) {
	if !known {
		return
	}
	l.jobs += by
	if j.parked {
		l.parked += by
	}
}

// remove forgets a job that waits no more, and the sample with its last one.
func (l *waitlist) remove(e *waiting, j waitingJob) {
	if now, known := e.jobs.get(j.subject); known && now.seq == j.seq {
		e.jobs.remove(j.subject)
		l.count(now, true, -1)
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
	if e.busy {
		e.due = at
		return
	}
	l.due.set(e, at)
}

func (l *waitlist) unschedule(e *waiting) { l.due.remove(e) }

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

func newWaitingJob(r queue.JobRecord) waitingJob {
	j := waitingJob{
		subject: r.Subject,
		seq:     r.Seq,
		since:   r.Time.Unix(),
		parked:  r.Parked != "",
	}
	for i, p := range pipeline.Priorities() {
		if p == r.Priority {
			j.lane = uint8(i)
		}
	}

	return j
}

// waiters counts the jobs by what they wait for.
func (l *waitlist) waiters() queue.Waiters {
	var w queue.Waiters
	for _, e := range l.entries {
		for j := range e.jobs.all() {
			r := queue.JobRecord{Time: time.Unix(j.since, 0).UTC()}
			if j.parked {
				r.Parked = pipeline.Uploads
			}
			w.Note(r)
		}
	}

	return w
}

// shift moves every time by as much as the clock was set.
func (l *waitlist) shift(by time.Duration) {
	for _, e := range l.entries {
		e.due = e.due.Add(by)
		e.submitted = e.submitted.Add(by)
	}
}
