package poller

import (
	"container/heap"
	"iter"
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
	entries map[uint64]*waitingSample   // by sampleID.hash
	clashes map[sampleID]*waitingSample // samples whose hash another one has in entries

	// more has the jobs of samples for which several wait, except for waitingSample.job.
	more map[*waitingSample]map[string]waitingJob // by name

	due    schedule[*waitingSample]
	toAsk  map[*waitingSample]struct{} // due to be asked about: pending at WildFire, as far as we know
	jobs   int                         // all of them
	parked int                         // jobs that wait for a budget
	queued int                         // samples with a job that waits for its turn to be requeued
	oldest oldest
}

// oldest caches when the oldest jobs began to wait. Finding that out requires a scan of all jobs,
// so a result is reused for a while. With many jobs it may be a little out of date.
type oldest struct {
	pending, parked uint32 // seconds since 1970
	until           time.Time
}

// scanReuse is how long the result of a scan is reused, as a multiple of the scan's duration.
const scanReuse = 50

// waitingSample is a sample that jobs wait for. Usually that is just one job.
type waitingSample struct {
	scheduleEntry // in waitlist.due: next time to check, or to ask

	sample     sampleID
	pending    bool       // WildFire has it, as far as we know: when due, ask
	busy       bool       // being checked, asked about or finished
	checkAgain bool       // something changed while busy
	queued     bool       // a job of it waits for its turn to be requeued
	job        waitingJob // one of the jobs; the others are in waitlist.more
	submitted  moment     // when its schedule began: when WildFire got it, or its first job began to wait
}

// waitingJob is a waiting job according to the ledger.
type waitingJob struct {
	name   string // name of its record: <source>.<job key>; "" for no job
	seq    uint64
	since  uint32 // seconds since 1970
	rank   uint8 // index in pipeline.Priorities
	parked bool   // for a budget
}

func (j waitingJob) source() string {
	source, _, _ := strings.Cut(j.name, ".")

	return source
}

func (j waitingJob) priority() pipeline.Priority { return pipeline.Priorities()[j.rank] }

func newWaitlist() *waitlist {
	return &waitlist{
		entries: map[uint64]*waitingSample{},
		clashes: map[sampleID]*waitingSample{},
		more:    map[*waitingSample]map[string]waitingJob{},
		toAsk:   map[*waitingSample]struct{}{},
	}
}

// find returns a sample, or nil if no job waits for it.
func (l *waitlist) find(key string) *waitingSample {
	id, ok := parseSampleID(key)
	if !ok {
		return nil
	}

	return l.get(id)
}

func (l *waitlist) get(id sampleID) *waitingSample {
	if e := l.entries[id.hash()]; e != nil && e.sample == id {
		return e
	}

	return l.clashes[id]
}

// all iterates over the samples in no particular order. None may be added or dropped meanwhile.
func (l *waitlist) all() iter.Seq[*waitingSample] {
	return func(yield func(*waitingSample) bool) {
		for _, e := range l.entries {
			if !yield(e) {
				return
			}
		}
		for _, e := range l.clashes {
			if !yield(e) {
				return
			}
		}
	}
}

// jobsOf iterates over the jobs that wait for a sample, in no particular order.
func (l *waitlist) jobsOf(e *waitingSample) iter.Seq[waitingJob] {
	return func(yield func(waitingJob) bool) {
		if e.job.name != "" && !yield(e.job) {
			return
		}
		for _, j := range l.more[e] {
			if !yield(j) {
				return
			}
		}
	}
}

// awaited reports whether jobs wait for a sample.
func (l *waitlist) awaited(e *waitingSample) bool { return e.job.name != "" || len(l.more[e]) > 0 }

// jobOf returns the job with the given name that waits for a sample.
func (l *waitlist) jobOf(e *waitingSample, name string) (j waitingJob, ok bool) {
	if e.job.name == name {
		return e.job, true
	}
	j, ok = l.more[e][name]

	return j, ok
}

// putJob adds a job, or replaces the one with the same name.
func (l *waitlist) putJob(e *waitingSample, j waitingJob) {
	_, inMore := l.more[e][j.name]
	switch {
	case !inMore && (e.job.name == "" || e.job.name == j.name):
		e.job = j
	case l.more[e] == nil:
		l.more[e] = map[string]waitingJob{j.name: j}
	default:
		l.more[e][j.name] = j
	}
}

func (l *waitlist) removeJob(e *waitingSample, name string) {
	if e.job.name == name {
		e.job = waitingJob{}
		return
	}

	delete(l.more[e], name)
	if len(l.more[e]) == 0 {
		delete(l.more, e)
	}
}

// add adds a job that has been waiting since the given time; the newest record of a job counts.
func (l *waitlist) add(id sampleID, j waitingJob, at time.Time) *waitingSample {
	e := l.get(id)
	if e == nil {
		e = &waitingSample{
			scheduleEntry: unscheduled,
			sample:        id,
			submitted:     momentOf(at),
		}
		if l.entries[id.hash()] == nil {
			l.entries[id.hash()] = e
		} else {
			l.clashes[id] = e
		}
	}

	old, known := l.jobOf(e, j.name)
	if known && j.seq < old.seq {
		return e
	}

	l.count(old, known, -1)
	l.count(j, true, 1)
	l.oldest.include(j)
	l.putJob(e, j)

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
func (l *waitlist) remove(e *waitingSample, j waitingJob) {
	if current, known := l.jobOf(e, j.name); known && current.seq == j.seq {
		l.removeJob(e, j.name)
		l.count(current, true, -1)
	}
	if !l.awaited(e) && !e.busy {
		l.drop(e)
	}
}

// drop forgets a sample. Dropping it again does nothing.
func (l *waitlist) drop(e *waitingSample) {
	l.due.remove(e)
	delete(l.toAsk, e)
	l.setQueued(e, false)

	delete(l.more, e)
	if hash := e.sample.hash(); l.entries[hash] == e {
		delete(l.entries, hash)
	} else if l.clashes[e.sample] == e {
		delete(l.clashes, e.sample)
	}
}

// setQueued records whether a job of the sample waits for its turn to be requeued.
func (l *waitlist) setQueued(e *waitingSample, queued bool) {
	switch {
	case queued && !e.queued:
		l.queued++
	case !queued && e.queued:
		l.queued--
	}
	e.queued = queued
}

// schedule sets when the sample is due. A busy sample is scheduled when it is done.
func (l *waitlist) schedule(e *waitingSample, at time.Time) {
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
func (l *waitlist) pop(now time.Time) *waitingSample {
	if len(l.due) == 0 || l.due[0].due > momentOf(now) {
		return nil
	}

	return heap.Pop(&l.due).(*waitingSample)
}

// newWaitingJob keeps the necessary part of a record. It copies the name, because the strings of a
// record are parts of larger strings.
func newWaitingJob(r queue.JobRecord) waitingJob {
	return waitingJob{
		name:   strings.Clone(r.Name),
		seq:    r.Seq,
		since:  uint32(r.Time.Unix()),
		rank:   uint8(max(slices.Index(pipeline.Priorities(), r.Priority), 0)),
		parked: r.Parked != "",
	}
}

// waiters counts the jobs by what they wait for.
func (l *waitlist) waiters() queue.Waiters {
	began := time.Now()
	if !began.Before(l.oldest.until) {
		l.oldest = oldest{pending: math.MaxUint32, parked: math.MaxUint32}
		for e := range l.all() {
			for j := range l.jobsOf(e) {
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
