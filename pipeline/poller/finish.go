package poller

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
)

// nextCheck says when a sample is due again, and what for.
type nextCheck struct {
	due     time.Time
	pending bool // due to be asked about; otherwise due to be checked
	queued  bool // a job of it waits for its turn to be requeued
}

// checkLoop handles samples as they become due: samples that are pending at WildFire go on the list
// of questions, the others are checked.
func (p *Poller) checkLoop(ctx context.Context) error {
	_, _, pauseChanged := p.Pauses.Active(pipeline.Uploads)
	clock := newClock(p.Now)

	for {
		if by := clock.jumped(); by != 0 {
			p.Log.Warn().Stringer("by", by).Msg("the clock was set back; adjusting the times of waiting jobs")
			p.mu.Lock()
			p.list.shift(by)
			p.rechecks.shift(by)
			p.reports.fetch.shift(by)
			p.mu.Unlock()
			signal(p.wakeAsk)
			signal(p.wakeReport)
		}

		looks, next := p.takeDue()
		for _, e := range looks {
			p.async(ctx, func() { p.reschedule(e, p.check(ctx, e)) })
		}

		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-p.wakeCheck:
		case <-pauseChanged:
			_, _, pauseChanged = p.Pauses.Active(pipeline.Uploads)
			p.scheduleChecks()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeDue takes due samples out of the schedule, and returns when to look again.
func (p *Poller) takeDue() (looks []*waiting, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	now := p.Now()
	for len(looks) < maxFinishing { // a new leader checks all waiting samples
		e := p.list.pop(now)
		if e == nil {
			break
		}
		if e.pending {
			p.list.toAsk[e] = struct{}{}
			signal(p.wakeAsk)
			continue
		}
		e.busy = true
		looks = append(looks, e)
	}

	p.Metrics.Pending.Set(float64(p.list.jobs - p.list.parked))
	p.Metrics.Parked.Set(float64(p.list.parked))

	if at := p.list.next(); !at.IsZero() {
		return looks, min(max(at.Sub(now), 0), p.Tick)
	}

	return looks, p.Tick
}

// scheduleChecks makes every sample due that is not pending, because uploads were paused or
// resumed, or some budget was returned.
func (p *Poller) scheduleChecks() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for e := range p.list.all() {
		switch {
		case e.busy:
			e.again = true
		case !e.pending:
			p.list.schedule(e, p.Now())
		}
	}
	signal(p.wakeCheck)
}

// reschedule puts a sample back into the schedule, unless no job waits for it.
func (p *Poller) reschedule(e *waiting, o nextCheck) {
	p.mu.Lock()
	e.busy = false
	if e.again {
		e.again = false
		o = nextCheck{due: p.Now()}
	}
	if e.jobs.len() == 0 {
		p.list.drop(e)
	} else {
		e.pending = o.pending
		p.list.queue(e, o.queued)
		p.list.schedule(e, o.due)
	}
	p.mu.Unlock()

	signal(p.wakeCheck)
}

// check reads a sample's record and acts on it.
func (p *Poller) check(ctx context.Context, e *waiting) nextCheck {
	s, err := p.Queue.Ledger().Sample(ctx, e.key())
	if err != nil {
		return p.retryLater(ctx, e, err, "sample cannot be read")
	}

	return p.applyRecord(ctx, e, s)
}

// retryLater logs an error about a sample, and checks it again after a while.
func (p *Poller) retryLater(ctx context.Context, e *waiting, err error, message string) nextCheck {
	if ctx.Err() == nil && !errors.Is(err, pipeline.ErrConflict) {
		p.Log.Warn().Err(err).Str("sha256", e.key()).Msg(message + "; retrying")
	}

	return nextCheck{due: p.Now().Add(p.config().Lease / 3)}
}

// policy returns the policy for Decide: the poller uploads nothing itself.
func (p *Poller) policy() pipeline.Policy {
	return pipeline.Policy{Config: p.config(), Ruling: pipeline.Unruled()}
}

// applyRecord carries out what a sample's record means for the jobs that wait for it.
func (p *Poller) applyRecord(ctx context.Context, e *waiting, s queue.SampleEntry) nextCheck {
	if s.Final() {
		return p.finishJobs(ctx, e, s)
	}

	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, pipeline.Look{}, p.policy(), p.Now())
	if step.Kind == pipeline.StepFindOwner {
		return p.applyClaim(ctx, e, s)
	}

	return p.applyStep(ctx, e, s, step, next)
}

// applyClaim handles a sample that a worker has claimed for its upload.
func (p *Poller) applyClaim(ctx context.Context, e *waiting, s queue.SampleEntry) nextCheck {
	gone, err := p.Member.Gone(ctx, s.Owner)
	if err != nil {
		return p.retryLater(ctx, e, err, "owner of an upload cannot be looked up")
	}

	learned := pipeline.Owned{By: s.Owner, Gone: gone}
	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, learned, p.policy(), p.Now())

	return p.applyStep(ctx, e, s, step, next)
}

// applyStep carries out a step of Decide that does not end the jobs.
func (p *Poller) applyStep(ctx context.Context, e *waiting, s queue.SampleEntry, step pipeline.Step, next pipeline.Sample) nextCheck {
	now := p.Now()

	switch step.Kind {
	case pipeline.StepWait:
		if step.Asking {
			p.mu.Lock()
			defer p.mu.Unlock()
			if next.SubmittedAt.After(now) { // the clock was set back since then: use the time in the list
				submitted := earlierOf(e.submitted.time(), now)
				e.submitted = momentOf(submitted)
				due := p.config().Schedule().Next(submitted, now)
				return nextCheck{due: p.capAtDeadline(due, submitted), pending: true}
			}
			e.submitted = momentOf(next.SubmittedAt)
			return nextCheck{due: step.Due, pending: true}
		}
		if now.Before(step.Due) {
			// The claim may end when its owner dies, long before the other jobs stop waiting.
			return nextCheck{due: earlierOf(step.Due, now.Add(p.config().Lease))}
		}
		return p.requeueOne(ctx, e) // the job that should continue may have been removed by hand

	case pipeline.StepFail: // its deadline has passed
		return p.timeOut(ctx, e, s, next)

	case pipeline.StepReconsider:
		s.Sample = next
		c := p.Queue.Ledger().PutSample(s)
		if err := p.Queue.Ledger().Commit(ctx, c); err != nil {
			return p.retryLater(ctx, e, err, "sample cannot be released")
		}
		s.Revision = c.Revision
		return p.applyRecord(ctx, e, s)
	}

	if step.Kind == pipeline.StepAsk {
		if pause, paused, _ := p.Pauses.ActiveLong(pipeline.Queries); paused {
			return nextCheck{due: pause.Until} // a worker would have to ask WildFire first
		}
	}

	return p.requeueOne(ctx, e)
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}

	return b
}

// capAtDeadline returns the earlier time, so that the deadline is not missed.
func (p *Poller) capAtDeadline(due, submitted time.Time) time.Time {
	return earlierOf(due, submitted.Add(p.config().Deadline))
}

// timeOut ends the jobs of a sample without a verdict at its deadline, and then frees the sample.
func (p *Poller) timeOut(ctx context.Context, e *waiting, s queue.SampleEntry, freed pipeline.Sample) nextCheck {
	o := p.finishJobs(ctx, e, s)
	if p.hasWaitingJobs(e) {
		return o // some could not be ended: if the sample were freed now, it would be uploaded again for them
	}

	s.Sample = freed
	if err := p.Queue.Ledger().Commit(ctx, p.Queue.Ledger().PutSample(s)); err != nil && !errors.Is(err, pipeline.ErrConflict) {
		p.Log.Warn().Err(err).Str("sha256", e.key()).Msg("sample cannot be freed")
	}

	return o
}

// hasWaitingJobs reports whether jobs wait for a sample.
func (p *Poller) hasWaitingJobs(e *waiting) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return e.jobs.len() > 0
}

// finishJobs ends every job that waits for a sample as the record says, and requeues jobs for which
// the record has no result. with is a change that is written together with the first job.
func (p *Poller) finishJobs(ctx context.Context, e *waiting, s queue.SampleEntry, with ...*queue.Change) nextCheck {
	p.mu.Lock()
	jobs := slices.Collect(e.jobs.all())
	p.mu.Unlock()

	for _, job := range jobs {
		if err := p.finishJob(ctx, e, job, s, with); err != nil {
			return p.retryLater(ctx, e, err, "waiting job cannot be ended")
		}
		with = nil
	}

	return nextCheck{due: p.Now().Add(p.config().Lease)} // for jobs that arrived meanwhile
}

// finishJob ends one waiting job.
func (p *Poller) finishJob(ctx context.Context, e *waiting, job waitingJob, s queue.SampleEntry, with []*queue.Change) error {
	m, revision, err := p.Queue.Ledger().WaitingAt(ctx, job.name, job.seq)
	if err != nil {
		return err
	}
	if m == nil {
		p.forget(e, job)
		return p.Queue.Ledger().Commit(ctx, with...)
	}

	now := p.Now()
	step, _ := pipeline.Decide(s.Sample, m.Job, pipeline.Look{}, p.policy(), now)

	var ev results.Event
	switch step.Kind {
	case pipeline.StepFinish:
		ev = pipeline.VerdictEvent(m.Job, s.Sample, m.Basis, now)
	case pipeline.StepFail:
		ev = pipeline.FailedEvent(m.Job, step.Cause, step.Attempts, now)
	default:
		if err := p.Queue.Ledger().Commit(ctx, with...); err != nil {
			return err
		}
		return p.Queue.Jobs().Requeue(ctx, m)
	}

	ctx, sp := p.Spans.Verdict(ctx, m.Job, m.Trace)
	published := p.published.begin()
	ev, err = p.Queue.Events().Finish(ctx, m, queue.Ending{
		Event:  ev,
		Sample: s.Key,
		Entry:  queue.JobEntry{Revision: revision, State: queue.JobWaiting, Sample: s.Key},
		With:   with,
		By:     p.term,
	})
	span.EndVerdict(sp, ev, err != nil)
	if err != nil {
		return err // keep the mark: the event may be recorded but not published
	}

	published()
	p.Metrics.Finished(ev)
	p.forget(e, job)
	if step.Kind == pipeline.StepFinish && p.config().WantsReport(s.Key, s.Sample) {
		return p.Queue.Ledger().OweReport(ctx, s.Key, m.Job.Source, p.config(), now)
	}

	return nil
}

func (p *Poller) forget(e *waiting, job waitingJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list.remove(e, job)
}

// requeueOne requeues the most urgent job of a sample that no worker is processing. The other jobs
// keep waiting, as if that job had been the first.
func (p *Poller) requeueOne(ctx context.Context, e *waiting) nextCheck {
	p.mu.Lock()
	var job waitingJob
	for j := range e.jobs.all() {
		if job.name == "" || j.lane < job.lane || j.lane == job.lane && j.seq < job.seq {
			job = j
		}
	}
	p.mu.Unlock()

	now := p.Now()
	if job.name == "" {
		return nextCheck{due: now}
	}
	if pause, paused, _ := p.Pauses.ActiveLong(pipeline.Uploads); paused {
		return nextCheck{due: pause.Until}
	}
	if ok, err := p.Uploads.Available(ctx, job.source(), job.priority()); err != nil || !ok {
		return nextCheck{due: now.Add(min(spentRetry, pipeline.ResetAfter(now).Sub(now)))}
	}
	if !p.requeues.Allow() {
		return nextCheck{due: now.Add(p.requeueIn()), queued: true}
	}

	m, _, err := p.Queue.Ledger().ReadWaiting(ctx, job.name)
	switch {
	case err != nil:
		return p.retryLater(ctx, e, err, "waiting job cannot be read")
	case m == nil:
		p.forget(e, job)
		return nextCheck{due: now}
	}
	if share := p.Shares.Of(m.Share); share != nil {
		if ok, err := share.Available(ctx, "", pipeline.Normal); err != nil || !ok {
			return nextCheck{due: now.Add(min(spentRetry, pipeline.ResetAfter(now).Sub(now)))}
		}
	}
	if err := p.Queue.Jobs().Requeue(ctx, m); err != nil {
		return p.retryLater(ctx, e, err, "waiting job cannot be requeued")
	}

	return nextCheck{due: now.Add(4 * p.config().Lease)}
}

// requeueIn returns when to try again to requeue a job: a random time within the period that it
// takes to requeue all jobs that wait for it, so that few wake up too early.
func (p *Poller) requeueIn() time.Duration {
	p.mu.Lock()
	n := p.list.queued + 1
	p.mu.Unlock()

	all := time.Duration(float64(n) / float64(p.requeues.Limit()) * float64(time.Second))

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
func (p *Poller) republish(ctx context.Context, name string, published func()) {
	for ctx.Err() == nil {
		entry, err := p.Queue.Ledger().ReadJob(ctx, name)
		if err == nil && entry.State == queue.JobDone && !p.published.tooOld(entry.Event, p.Now()) {
			err = p.Queue.Events().Republish(ctx, nil, entry.Event)
		}
		if err == nil {
			published()
			return
		}

		p.Log.Warn().Err(err).Str("job", refOf(entry.Event)).Msg("event of another leader cannot be published yet; retrying")
		_ = fleet.Sleep(ctx, time.Second)
	}
}

func refOf(ev results.Event) string { return ev.Data.Source + "/" + ev.Data.JobID }
