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
// is due. Here, the waiting jobs include the parked ones. There may be a million samples, so the
// list does not hold the messages of the jobs, only a waitingJob for each. It is not safe for
// concurrent use.
type waitlist struct {
	entries map[uint64]*waitingSample   // by sampleID.prefix
	clashes map[sampleID]*waitingSample // samples not in entries: another has the same prefix

	// more has the jobs that wait for a sample besides waitingSample.job, by the job's name.
	more map[*waitingSample]map[string]waitingJob

	due          schedule[*waitingSample]
	toAsk        map[*waitingSample]struct{} // pending samples to ask about: due, or asked about by hand
	jobs         int                         // all jobs in the list, including the parked ones
	parked       int                         // those of them that are parked
	awaitingTurn int                         // samples with a job that waits for its turn to be requeued
	oldest       oldest
}

// oldest is when the oldest records of waiting jobs were written. A scan of all jobs finds this
// out. Its result is reused for a while, and so may be a little out of date if there are many jobs.
type oldest struct {
	unparked uint32    // of the jobs that are not parked; in seconds since 1970
	parked   uint32    // of the parked jobs; in seconds since 1970
	until    time.Time // the result is reused until this time
}

// scanReuse is how long the result of a scan is reused, as a multiple of the scan's duration.
const scanReuse = 50

// waitingSample is a sample for which jobs wait. Usually there is only one job.
type waitingSample struct {
	scheduleEntry // in waitlist.due: next time to ask about the sample, or to check it

	sample     sampleID
	pending    bool       // as far as we know, WildFire has the sample: ask when it is due
	busy       bool       // a goroutine handles the sample, or a call asks about it
	checkAgain bool       // something changed while the sample was busy
	awaitsTurn bool       // a job of the sample waits for its turn to be requeued
	job        waitingJob // one of its jobs; the others are in waitlist.more
	submitted  moment     // when WildFire got the sample; before that is known, when a job's record was written
}

// waitingJob is what the list keeps of a waiting job's record.
type waitingJob struct {
	name   string // name of its record: <source>.<pipeline.JobKey>; "" for no job
	seq    uint64
	since  uint32 // when the record was written, in seconds since 1970
	rank   uint8  // index in pipeline.Priorities
	parked bool   // it waits for a budget or the end of a pause
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

// find returns the sample with the given key, or nil if the list does not have it.
func (l *waitlist) find(key string) *waitingSample {
	id, ok := parseSampleID(key)
	if !ok {
		return nil
	}

	return l.get(id)
}

func (l *waitlist) get(id sampleID) *waitingSample {
	if e := l.entries[id.prefix()]; e != nil && e.sample == id {
		return e
	}

	return l.clashes[id]
}

// all iterates over the samples in no particular order. The loop must not add or drop any.
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

// awaited reports whether any job waits for a sample.
func (l *waitlist) awaited(e *waitingSample) bool { return e.job.name != "" || len(l.more[e]) > 0 }

// jobOf returns the job with the given name that waits for a sample.
func (l *waitlist) jobOf(e *waitingSample, name string) (j waitingJob, ok bool) {
	if e.job.name == name {
		return e.job, true
	}
	j, ok = l.more[e][name]

	return j, ok
}

// putJob adds a job to a sample, or replaces the one with the same name.
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

// add adds a job and returns its sample. The parameter at is when the job's record was written. If
// the job is in the list already, the newer of its records counts.
func (l *waitlist) add(id sampleID, j waitingJob, at time.Time) *waitingSample {
	e := l.get(id)
	if e == nil {
		e = &waitingSample{
			scheduleEntry: unscheduled,
			sample:        id,
			submitted:     momentOf(at),
		}
		if l.entries[id.prefix()] == nil {
			l.entries[id.prefix()] = e
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

// count changes the counts to which a job belongs; the parameter by is 1 or -1. It ignores a job
// that is not known.
func (l *waitlist) count(j waitingJob, known bool, by int) {
	if !known {
		return
	}
	l.jobs += by
	if j.parked {
		l.parked += by
	}
}

// remove removes a job, unless the list has another record of it. If no job is left that waits
// for the sample, and the sample is not busy, the sample is dropped, too.
func (l *waitlist) remove(e *waitingSample, j waitingJob) {
	if current, known := l.jobOf(e, j.name); known && current.seq == j.seq {
		l.removeJob(e, j.name)
		l.count(current, true, -1)
	}
	if !l.awaited(e) && !e.busy {
		l.drop(e)
	}
}

// drop removes a sample. Dropping it again does nothing.
func (l *waitlist) drop(e *waitingSample) {
	l.due.remove(e)
	delete(l.toAsk, e)
	l.setAwaitsTurn(e, false)

	delete(l.more, e)
	if prefix := e.sample.prefix(); l.entries[prefix] == e {
		delete(l.entries, prefix)
	} else if l.clashes[e.sample] == e {
		delete(l.clashes, e.sample)
	}
}

// setAwaitsTurn records whether a job of the sample waits for its turn to be requeued.
func (l *waitlist) setAwaitsTurn(e *waitingSample, awaits bool) {
	switch {
	case awaits && !e.awaitsTurn:
		l.awaitingTurn++
	case !awaits && e.awaitsTurn:
		l.awaitingTurn--
	}
	e.awaitsTurn = awaits
}

// schedule sets when the sample is due, unless it is busy: reschedule sets that later.
func (l *waitlist) schedule(e *waitingSample, at time.Time) {
	if !e.busy {
		l.due.set(e, at)
	}
}

// next returns when the first sample is due, or the zero time if there is none.
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

// newWaitingJob returns the part of a record that the list keeps. It copies the name, because the
// name in the record is part of a larger string that can then be freed.
func newWaitingJob(r queue.JobHeader) waitingJob {
	return waitingJob{
		name:   strings.Clone(r.Name),
		seq:    r.Revision,
		since:  uint32(r.Time.Unix()),
		rank:   uint8(max(slices.Index(pipeline.Priorities(), r.Priority), 0)),
		parked: r.Parked != "",
	}
}

// waiters returns how many jobs wait for their samples and how many are parked, and since when.
func (l *waitlist) waiters() queue.Waiters {
	began := time.Now()
	if !began.Before(l.oldest.until) {
		l.oldest = oldest{unparked: math.MaxUint32, parked: math.MaxUint32}
		for e := range l.all() {
			for j := range l.jobsOf(e) {
				l.oldest.include(j)
			}
		}
		l.oldest.until = began.Add(scanReuse * time.Since(began))
	}

	return queue.Waiters{
		Pending: waitStatus(l.jobs-l.parked, l.oldest.unparked),
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

// include records a job's time if the job is the oldest so far.
func (o *oldest) include(j waitingJob) {
	if j.parked {
		o.parked = min(o.parked, j.since)
	} else {
		o.unparked = min(o.unparked, j.since)
	}
}

// shift moves the times of all samples by the given duration, after the clock was set back.
func (l *waitlist) shift(by time.Duration) {
	for e := range l.all() {
		e.due = e.due.add(by)
		e.submitted = e.submitted.add(by)
	}
}
