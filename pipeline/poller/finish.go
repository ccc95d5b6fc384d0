package poller

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// finisher checks the samples that jobs wait for, ends their jobs, and requeues jobs that need a
// worker.
type finisher struct {
	*shared
	rechecker *rechecker
	requeues  *rate.Limiter // jobs to requeue
	published mark
	term      string // of our leadership; each leadership has a new one
}

const (
	requeuePace = 64 // per second, at most

	// How soon a sample that waits for budget is checked again on the same day. Only workers that
	// stop return budget, and new jobs may use that first, so little is to be gained by a short
	// interval.
	spentRetry = 15 * time.Minute
)

// nextCheck says when a sample is due again, and what for.
type nextCheck struct {
	due     time.Time
	pending bool // due to be asked about; otherwise due to be checked
	queued  bool // a job of it waits for its turn to be requeued
}

// checkLoop handles samples as they become due: samples that are pending at WildFire go on the list
// of questions, the others are checked. It calls setBack when the clock was set back.
func (f *finisher) checkLoop(ctx context.Context, setBack func(time.Duration)) error {
	_, _, pauseChanged := f.Pauses.Active(pipeline.Uploads)
	clock := newClock(f.Now)

	for {
		if by := clock.jumped(); by != 0 {
			f.Log.Warn().Stringer("by", by).Msg("the clock was set back; adjusting the times of waiting jobs")
			setBack(by)
		}

		looks, next := f.takeDue()
		for _, e := range looks {
			f.async(ctx, func() { f.reschedule(e, f.check(ctx, e)) })
		}

		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-f.wakeCheck:
		case <-pauseChanged:
			_, _, pauseChanged = f.Pauses.Active(pipeline.Uploads)
			f.scheduleChecks()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeDue takes due samples out of the schedule, and returns when to look again.
func (f *finisher) takeDue() (looks []*waiting, next time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()

	now := f.Now()
	for len(looks) < maxFinishing { // a new leader checks all waiting samples
		e := f.list.pop(now)
		if e == nil {
			break
		}
		if e.pending {
			f.list.toAsk[e] = struct{}{}
			signal(f.wakeAsk)
			continue
		}
		e.busy = true
		looks = append(looks, e)
	}

	f.Metrics.Pending.Set(float64(f.list.jobs - f.list.parked))
	f.Metrics.Parked.Set(float64(f.list.parked))

	if at := f.list.next(); !at.IsZero() {
		return looks, min(max(at.Sub(now), 0), f.Tick)
	}

	return looks, f.Tick
}

// scheduleChecks makes every sample due that is not pending, because uploads were paused or
// resumed, or some budget was returned.
func (f *finisher) scheduleChecks() {
	f.mu.Lock()
	defer f.mu.Unlock()

	for e := range f.list.all() {
		switch {
		case e.busy:
			e.again = true
		case !e.pending:
			f.list.schedule(e, f.Now())
		}
	}
	signal(f.wakeCheck)
}

// reschedule puts a sample back into the schedule, unless no job waits for it.
func (f *finisher) reschedule(e *waiting, o nextCheck) {
	f.mu.Lock()
	e.busy = false
	if e.again {
		e.again = false
		o = nextCheck{due: f.Now()}
	}
	if e.jobs.len() == 0 {
		f.list.drop(e)
	} else {
		e.pending = o.pending
		f.list.queue(e, o.queued)
		f.list.schedule(e, o.due)
	}
	f.mu.Unlock()

	signal(f.wakeCheck)
}

// check reads a sample's record and acts on it.
func (f *finisher) check(ctx context.Context, e *waiting) nextCheck {
	s, err := f.Queue.Ledger().Sample(ctx, e.key())
	if err != nil {
		return f.retryLater(ctx, e, err, "sample cannot be read")
	}

	return f.applyRecord(ctx, e, s)
}

// handleAnswer handles WildFire's answer about a sample that jobs wait for.
func (f *finisher) handleAnswer(ctx context.Context, e *waiting, r wildfire.VerdictRecord, ok bool) nextCheck {
	learned := answered(r, ok)
	read := f.Queue.Ledger().Sample
	if learned.Known && learned.Verdict.Final() {
		read = f.Queue.Ledger().PendingSample // a verdict replaces the record
	}
	s, err := read(ctx, e.key())
	if err != nil {
		return f.retryLater(ctx, e, err, "sample cannot be read")
	}
	if s.State != pipeline.StatePending {
		return f.applyRecord(ctx, e, s)
	}

	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, learned, f.policy(), f.Now())
	if next == s.Sample {
		return f.applyStep(ctx, e, s, step, next)
	}
	if step.Kind == pipeline.StepFail && !next.Final() { // its deadline has passed
		return f.timeOut(ctx, e, s, next)
	}

	s.Sample = next
	change := f.Queue.Ledger().PutSample(s)
	if next.Final() {
		o := f.finishJobs(ctx, e, s, change)
		f.rechecker.update(s.Key, s.Sample)
		return o
	}
	if err := f.Queue.Ledger().Commit(ctx, change); err != nil {
		return f.retryLater(ctx, e, err, "answer cannot be recorded")
	}
	s.Revision = change.Revision

	return f.applyRecord(ctx, e, s)
}

// answered converts an answer to an event for Decide. A record without a readable verdict means
// that the sample is being analyzed.
func answered(r wildfire.VerdictRecord, ok bool) pipeline.Answered {
	a := pipeline.Answered{Known: ok, Verdict: r.Verdict, MD5: r.MD5}
	if ok && !r.HasVerdict {
		a.Verdict = wildfire.Pending
	}

	return a
}

// retryLater logs an error about a sample, and checks it again after a while.
func (f *finisher) retryLater(ctx context.Context, e *waiting, err error, message string) nextCheck {
	if ctx.Err() == nil && !errors.Is(err, pipeline.ErrConflict) {
		f.Log.Warn().Err(err).Str("sha256", e.key()).Msg(message + "; retrying")
	}

	return nextCheck{due: f.Now().Add(f.config().Lease / 3)}
}

// applyRecord carries out what a sample's record means for the jobs that wait for it.
func (f *finisher) applyRecord(ctx context.Context, e *waiting, s queue.SampleEntry) nextCheck {
	if s.Final() {
		return f.finishJobs(ctx, e, s)
	}

	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, pipeline.Look{}, f.policy(), f.Now())
	if step.Kind == pipeline.StepFindOwner {
		return f.applyClaim(ctx, e, s)
	}

	return f.applyStep(ctx, e, s, step, next)
}

// applyClaim handles a sample that a worker has claimed for its upload.
func (f *finisher) applyClaim(ctx context.Context, e *waiting, s queue.SampleEntry) nextCheck {
	gone, err := f.Member.Gone(ctx, s.Owner)
	if err != nil {
		return f.retryLater(ctx, e, err, "owner of an upload cannot be looked up")
	}

	learned := pipeline.Owned{By: s.Owner, Gone: gone}
	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, learned, f.policy(), f.Now())

	return f.applyStep(ctx, e, s, step, next)
}

// applyStep carries out a step of Decide that does not end the jobs.
func (f *finisher) applyStep(ctx context.Context, e *waiting, s queue.SampleEntry, step pipeline.Step, next pipeline.Sample) nextCheck {
	now := f.Now()

	switch step.Kind {
	case pipeline.StepWait:
		if step.Asking {
			f.mu.Lock()
			defer f.mu.Unlock()
			if next.SubmittedAt.After(now) { // the clock was set back since then: use the time in the list
				submitted := earlierOf(e.submitted.time(), now)
				e.submitted = momentOf(submitted)
				due := f.config().Schedule().Next(submitted, now)
				return nextCheck{due: f.capAtDeadline(due, submitted), pending: true}
			}
			e.submitted = momentOf(next.SubmittedAt)
			return nextCheck{due: step.Due, pending: true}
		}
		if now.Before(step.Due) {
			// The claim may end when its owner dies, long before the other jobs stop waiting.
			return nextCheck{due: earlierOf(step.Due, now.Add(f.config().Lease))}
		}
		return f.requeueOne(ctx, e) // the job that should continue may have been removed by hand

	case pipeline.StepFail: // its deadline has passed
		return f.timeOut(ctx, e, s, next)

	case pipeline.StepReconsider:
		s.Sample = next
		c := f.Queue.Ledger().PutSample(s)
		if err := f.Queue.Ledger().Commit(ctx, c); err != nil {
			return f.retryLater(ctx, e, err, "sample cannot be released")
		}
		s.Revision = c.Revision
		return f.applyRecord(ctx, e, s)
	}

	if step.Kind == pipeline.StepAsk {
		if pause, paused, _ := f.Pauses.ActiveLong(pipeline.Queries); paused {
			return nextCheck{due: pause.Until} // a worker would have to ask WildFire first
		}
	}

	return f.requeueOne(ctx, e)
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}

	return b
}

// capAtDeadline returns the earlier time, so that the deadline is not missed.
func (f *finisher) capAtDeadline(due, submitted time.Time) time.Time {
	return earlierOf(due, submitted.Add(f.config().Deadline))
}

// timeOut ends the jobs of a sample without a verdict at its deadline, and then frees the sample.
func (f *finisher) timeOut(ctx context.Context, e *waiting, s queue.SampleEntry, freed pipeline.Sample) nextCheck {
	o := f.finishJobs(ctx, e, s)
	if f.hasWaitingJobs(e) {
		return o // some could not be ended: if the sample were freed now, it would be uploaded again for them
	}

	s.Sample = freed
	if err := f.Queue.Ledger().Commit(ctx, f.Queue.Ledger().PutSample(s)); err != nil && !errors.Is(err, pipeline.ErrConflict) {
		f.Log.Warn().Err(err).Str("sha256", e.key()).Msg("sample cannot be freed")
	}

	return o
}

// hasWaitingJobs reports whether jobs wait for a sample.
func (f *finisher) hasWaitingJobs(e *waiting) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return e.jobs.len() > 0
}

// finishJobs ends every job that waits for a sample as the record says, and requeues jobs for which
// the record has no result. with is a change that is written together with the first job.
func (f *finisher) finishJobs(ctx context.Context, e *waiting, s queue.SampleEntry, with ...*queue.Change) nextCheck {
	f.mu.Lock()
	jobs := slices.Collect(e.jobs.all())
	f.mu.Unlock()

	for _, job := range jobs {
		if err := f.finishJob(ctx, e, job, s, with); err != nil {
			return f.retryLater(ctx, e, err, "waiting job cannot be ended")
		}
		with = nil
	}

	return nextCheck{due: f.Now().Add(f.config().Lease)} // for jobs that arrived meanwhile
}

// finishJob ends one waiting job.
func (f *finisher) finishJob(ctx context.Context, e *waiting, job waitingJob, s queue.SampleEntry, with []*queue.Change) error {
	m, revision, err := f.Queue.Ledger().WaitingAt(ctx, job.name, job.seq)
	if err != nil {
		return err
	}
	if m == nil {
		f.forget(e, job)
		return f.Queue.Ledger().Commit(ctx, with...)
	}

	now := f.Now()
	step, _ := pipeline.Decide(s.Sample, m.Job, pipeline.Look{}, f.policy(), now)

	var ev results.Event
	switch step.Kind {
	case pipeline.StepFinish:
		ev = pipeline.VerdictEvent(m.Job, s.Sample, m.Basis, now)
	case pipeline.StepFail:
		ev = pipeline.FailedEvent(m.Job, step.Cause, step.Attempts, now)
	default:
		if err := f.Queue.Ledger().Commit(ctx, with...); err != nil {
			return err
		}
		return f.Queue.Jobs().Requeue(ctx, m)
	}

	ctx, sp := f.Spans.Verdict(ctx, m.Job, m.Trace)
	published := f.published.begin()
	ev, err = f.Queue.Events().Finish(ctx, m, queue.Ending{
		Event:  ev,
		Sample: s.Key,
		Entry:  queue.JobEntry{Revision: revision, State: queue.JobWaiting, Sample: s.Key},
		With:   with,
		By:     f.term,
	})
	span.EndVerdict(sp, ev, err != nil)
	if err != nil {
		return err // keep the mark: the event may be recorded but not published
	}

	published()
	f.Metrics.Finished(ev)
	f.forget(e, job)
	if step.Kind == pipeline.StepFinish && f.config().WantsReport(s.Key, s.Sample) {
		return f.Queue.Ledger().OweReport(ctx, s.Key, m.Job.Source, f.config(), now)
	}

	return nil
}

func (f *finisher) forget(e *waiting, job waitingJob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list.remove(e, job)
}

// requeueOne requeues the most urgent job of a sample that no worker is processing. The other jobs
// keep waiting, as if that job had been the first.
func (f *finisher) requeueOne(ctx context.Context, e *waiting) nextCheck {
	f.mu.Lock()
	var job waitingJob
	for j := range e.jobs.all() {
		if job.name == "" || j.lane < job.lane || j.lane == job.lane && j.seq < job.seq {
			job = j
		}
	}
	f.mu.Unlock()

	now := f.Now()
	if job.name == "" {
		return nextCheck{due: now}
	}
	if pause, paused, _ := f.Pauses.ActiveLong(pipeline.Uploads); paused {
		return nextCheck{due: pause.Until}
	}
	if ok, err := f.Uploads.Available(ctx, job.source(), job.priority()); err != nil || !ok {
		return nextCheck{due: now.Add(min(spentRetry, pipeline.ResetAfter(now).Sub(now)))}
	}
	if !f.requeues.Allow() {
		return nextCheck{due: now.Add(f.requeueIn()), queued: true}
	}

	m, _, err := f.Queue.Ledger().ReadWaiting(ctx, job.name)
	switch {
	case err != nil:
		return f.retryLater(ctx, e, err, "waiting job cannot be read")
	case m == nil:
		f.forget(e, job)
		return nextCheck{due: now}
	}
	if share := f.Shares.Of(m.Share); share != nil {
		if ok, err := share.Available(ctx, "", pipeline.Normal); err != nil || !ok {
			return nextCheck{due: now.Add(min(spentRetry, pipeline.ResetAfter(now).Sub(now)))}
		}
	}
	if err := f.Queue.Jobs().Requeue(ctx, m); err != nil {
		return f.retryLater(ctx, e, err, "waiting job cannot be requeued")
	}

	return nextCheck{due: now.Add(4 * f.config().Lease)}
}

// requeueRate is how many jobs per second are requeued: enough to keep the fleet busy at its rate,
// but not so many that most of them find the budget spent and are parked again.
func requeueRate(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return requeuePace
	}

	return rate.Limit(min(2*perSecond, requeuePace))
}

// requeueIn returns when to try again to requeue a job: a random time within the period that it
// takes to requeue all jobs that wait for it, so that few wake up too early.
func (f *finisher) requeueIn() time.Duration {
	f.mu.Lock()
	n := f.list.queued + 1
	f.mu.Unlock()

	all := time.Duration(float64(n) / float64(f.requeues.Limit()) * float64(time.Second))

	return rand.N(min(max(all, time.Second), spentRetry))
}

// clock detects that the time of day was set.
type clock struct {
	now  func() time.Time
	wall time.Time // Round(0): without the monotonic reading
	mono time.Time
}

// smallJump is a difference that is not a jump: slewing, rounding, a busy machine.
const smallJump = 5 * time.Second

func newClock(now func() time.Time) *clock {
	return &clock{now: now, wall: now().Round(0), mono: time.Now()}
}

// jumped returns by how much the clock was set back since the last call, as a negative duration; 0
// for not at all. A clock that was set forward, or ran fast, only makes things due.
func (c *clock) jumped() time.Duration {
	wall := c.now().Round(0)
	mono := time.Now()
	by := wall.Sub(c.wall) - mono.Sub(c.mono)
	c.wall = wall
	c.mono = mono

	if by < -smallJump {
		return by
	}

	return 0
}

// republish publishes the event of a job that another leader ended but may not have published.
func (f *finisher) republish(ctx context.Context, name string, published func()) {
	for ctx.Err() == nil {
		entry, err := f.Queue.Ledger().ReadJob(ctx, name)
		if err == nil && entry.State == queue.JobDone && !f.published.tooOld(entry.Event, f.Now()) {
			err = f.Queue.Events().Republish(ctx, nil, entry.Event)
		}
		if err == nil {
			published()
			return
		}

		f.Log.Warn().Err(err).Str("job", refOf(entry.Event)).Msg("event of another leader cannot be published yet; retrying")
		_ = fleet.Sleep(ctx, time.Second)
	}
}

func refOf(ev results.Event) string { return ev.Data.Source + "/" + ev.Data.JobID }
