package poller

import (
	"container/heap"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// waitlist is the poller's index of the waiting jobs by sample, with the time at which each sample
// is due. There may be a million samples, so it does not hold the messages of the jobs, only their
// names and sequence numbers. It is not safe for concurrent use.
type waitlist struct {
	entries map[uint64]*waiting // by sampleID.hash; waiting.next links samples with the same hash
	samples int
	due     schedule[*waiting]
	toAsk   map[*waiting]struct{} // due to be asked about: pending at WildFire, as far as we know
	jobs    int                   // all of them
	parked  int                   // jobs that wait for a budget
	queued  int                   // samples with a job that waits for its turn to be requeued
	oldest  oldest
}

// oldest caches when the oldest jobs began to wait. Finding that out requires a scan of all jobs,
// so a result is reused for a while. With many jobs it may be a little out of date.
type oldest struct {
	pending, parked uint32 // seconds since 1970
	until           time.Time
}

// scanReuse is how long the result of a scan is reused, as a multiple of the scan's duration.
const scanReuse = 50

// waiting is a sample that jobs wait for.
type waiting struct {
	slot // in waitlist.due: next time to check, or to ask

	sample     sampleID
	pending    bool // WildFire has it, as far as we know: when due, ask
	busy       bool // being checked, asked about or finished
	checkAgain bool // something changed while busy
	queued     bool // a job of it waits for its turn to be requeued
	jobs       waitingJobs
	submitted  moment // when its schedule began: when WildFire got it, or its first job began to wait
	next       *waiting
}

// waitingJob is a waiting job according to the ledger.
type waitingJob struct {
	name   string // name of its record: <source>.<job key>; "" for no job
	seq    uint64
	since  uint32 // seconds since 1970
	lane   uint8  // index among the priorities
	parked bool   // for a budget
}

func (j waitingJob) source() string {
	source, _, _ := strings.Cut(j.name, ".")

	return source
}

func (j waitingJob) priority() pipeline.Priority { return pipeline.Priorities()[j.lane] }

// waitingJobs are the jobs that wait for one sample. Usually that is just one, which needs no map.
type waitingJobs struct {
	one  waitingJob            // if there is just one
	more map[string]waitingJob // by name, if there are or were several
}

func (w *waitingJobs) len() int {
	switch {
	case w.more != nil:
		return len(w.more)
	case w.one.name != "":
		return 1
	}

	return 0
}

func (w *waitingJobs) get(name string) (j waitingJob, ok bool) {
	if w.more != nil {
		j, ok = w.more[name]
		return j, ok
	}

	return w.one, w.one.name == name
}

func (w *waitingJobs) put(j waitingJob) {
	switch {
	case w.more != nil:
		w.more[j.name] = j
	case w.one.name == "" || w.one.name == j.name:
		w.one = j
	default:
		w.more = map[string]waitingJob{w.one.name: w.one, j.name: j}
		w.one = waitingJob{}
	}
}

func (w *waitingJobs) remove(name string) {
	delete(w.more, name)
	if w.one.name == name {
		w.one = waitingJob{}
	}
}

// all iterates over the jobs in no particular order.
func (w *waitingJobs) all() iter.Seq[waitingJob] {
	if w.more != nil {
		return maps.Values(w.more)
	}

	return func(yield func(waitingJob) bool) {
		if w.one.name != "" {
			yield(w.one)
		}
	}
}

func newWaitlist() *waitlist {
	return &waitlist{
		entries: map[uint64]*waiting{},
		toAsk:   map[*waiting]struct{}{},
	}
}

// find returns a sample, or nil if no job waits for it.
func (l *waitlist) find(key string) *waiting {
	id, ok := parseSampleID(key)
	if !ok {
		return nil
	}

	return l.get(id)
}

func (l *waitlist) get(id sampleID) *waiting {
	e := l.entries[id.hash()]
	for e != nil && e.sample != id {
		e = e.next
	}

	return e
}

// all iterates over the samples in no particular order. None may be added or dropped meanwhile.
func (l *waitlist) all() iter.Seq[*waiting] {
	return func(yield func(*waiting) bool) {
		for _, e := range l.entries {
			for ; e != nil; e = e.next {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// add adds a job that has been waiting since the given time; the newest record of a job counts.
func (l *waitlist) add(id sampleID, j waitingJob, at time.Time) *waiting {
	e := l.get(id)
	if e == nil {
		e = &waiting{
			slot:      unscheduled,
			sample:    id,
			submitted: momentOf(at),
			next:      l.entries[id.hash()],
		}
		l.entries[id.hash()] = e
		l.samples++
	}

	old, known := e.jobs.get(j.name)
	if known && j.seq < old.seq {
		return e
	}

	l.count(old, known, -1)
	l.count(j, true, 1)
	l.oldest.include(j)
	e.jobs.put(j)

	return e
}

// count adjusts the counts for a job that was added or removed.
func (l *waitlist) count(j waitingJob, known bool, by int) {
	if !known {
		return
	}
	l.jobs += by
	if j.parked {
		l.parked += by
	}
}

// remove forgets a job that no longer waits. When no other job is left, it forgets the sample, too.
func (l *waitlist) remove(e *waiting, j waitingJob) {
	if current, known := e.jobs.get(j.name); known && current.seq == j.seq {
		e.jobs.remove(j.name)
		l.count(current, true, -1)
	}
	if e.jobs.len() == 0 && !e.busy {
		l.drop(e)
	}
}

// drop forgets a sample. Dropping it again does nothing.
func (l *waitlist) drop(e *waiting) {
	l.due.remove(e)
	delete(l.toAsk, e)
	l.setQueued(e, false)

	hash := e.sample.hash()
	first := l.entries[hash]
	switch {
	case first == e && e.next == nil:
		delete(l.entries, hash)
	case first == e:
		l.entries[hash] = e.next
	default:
		for first != nil && first.next != e {
			first = first.next
		}
		if first == nil {
			return // it was already forgotten
		}
		first.next = e.next
	}
	l.samples--
}

// setQueued records whether a job of the sample waits for its turn to be requeued.
func (l *waitlist) setQueued(e *waiting, queued bool) {
	switch {
	case queued && !e.queued:
		l.queued++
	case !queued && e.queued:
		l.queued--
	}
	e.queued = queued
}

// schedule sets when the sample is due. A busy sample is scheduled when it is done.
func (l *waitlist) schedule(e *waiting, at time.Time) {
	if e.busy {
		e.due = momentOf(at)
		return
	}
	l.due.set(e, at)
}

// next returns when the first sample is due; the zero time means never.
func (l *waitlist) next() time.Time {
	if len(l.due) == 0 {
		return time.Time{}
	}

	return l.due[0].due.time()
}

// pop removes and returns the first sample that is due by now, or nil.
func (l *waitlist) pop(now time.Time) *waiting {
	if len(l.due) == 0 || l.due[0].due > momentOf(now) {
		return nil
	}

	return heap.Pop(&l.due).(*waiting)
}

// newWaitingJob keeps the necessary part of a record. It copies the name, because the strings of a
// record are parts of larger strings.
func newWaitingJob(r queue.JobRecord) waitingJob {
	return waitingJob{
		name:   strings.Clone(r.Name),
		seq:    r.Seq,
		since:  uint32(r.Time.Unix()),
		lane:   uint8(max(slices.Index(pipeline.Priorities(), r.Priority), 0)),
		parked: r.Parked != "",
	}
}

// waiters counts the jobs by what they wait for.
func (l *waitlist) waiters() queue.Waiters {
	began := time.Now()
	if !began.Before(l.oldest.until) {
		l.oldest = oldest{pending: math.MaxUint32, parked: math.MaxUint32}
		for e := range l.all() {
			for j := range e.jobs.all() {
				l.oldest.include(j)
			}
		}
		l.oldest.until = began.Add(scanReuse * time.Since(began))
	}

	return queue.Waiters{
		Pending: waitStatus(l.jobs-l.parked, l.oldest.pending),
		Parked:  waitStatus(l.parked, l.oldest.parked),
	}
}

func waitStatus(jobs int, oldest uint32) queue.WaitStatus {
	w := queue.WaitStatus{Jobs: jobs}
	if jobs > 0 && oldest != math.MaxUint32 {
		w.Oldest = time.Unix(int64(oldest), 0).UTC()
	}

	return w
}

// include takes a job into account.
func (o *oldest) include(j waitingJob) {
	if j.parked {
		o.parked = min(o.parked, j.since)
	} else {
		o.pending = min(o.pending, j.since)
	}
}

// shift moves all times by the given duration, after the clock was set.
func (l *waitlist) shift(by time.Duration) {
	for e := range l.all() {
		e.due = e.due.add(by)
		e.submitted = e.submitted.add(by)
	}
}
