package poller

import (
	"context"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// checkLoop handles samples when they are due. Those that are pending at WildFire join the samples
// to ask about; the others are checked.
func (f *finisher) checkLoop(ctx context.Context) error {
	_, _, pauseChanged := f.Pauses.Active(pipeline.Uploads)

	for {
		f.checkClock() // often, so that the time of each jump is known accurately

		toCheck, next := f.takeDue()
		for _, e := range toCheck {
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

// takeDue removes due samples from the schedule. It returns those to check, and the time until the
// schedule has to be looked at again.
func (f *finisher) takeDue() (toCheck []*waitingSample, next time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()

	now := f.Now()
	for len(toCheck) < maxTasks { // limited, because very many samples may be due for a new leader
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
		toCheck = append(toCheck, e)
	}

	f.Metrics.Pending.Set(float64(f.list.jobs - f.list.parked))
	f.Metrics.Parked.Set(float64(f.list.parked))

	if at := f.list.next(); !at.IsZero() {
		return toCheck, min(max(at.Sub(now), 0), f.Tick)
	}

	return toCheck, f.Tick
}

// check reads a sample's record and acts on it.
func (f *finisher) check(ctx context.Context, e *waitingSample) nextCheck {
	s, err := f.Queue.Ledger().Sample(ctx, e.sample.key())
	if err != nil {
		return f.retryLater(ctx, e, err, "sample cannot be read")
	}

	return f.applyRecord(ctx, e, s)
}

// handleAnswer handles WildFire's answer about a sample that jobs wait for.
func (f *finisher) handleAnswer(ctx context.Context, e *waitingSample, r wildfire.VerdictRecord, ok bool) nextCheck {
	learned := answered(r, ok)
	read := f.Queue.Ledger().Sample
	if learned.HasEntry && learned.Verdict.Final() {
		read = f.Queue.Ledger().PendingSample // may be outdated: then the change below is refused
	}
	s, err := read(ctx, e.sample.key())
	if err != nil {
		return f.retryLater(ctx, e, err, "sample cannot be read")
	}
	if s.State != pipeline.StatePending {
		return f.applyRecord(ctx, e, s)
	}

	step, next := f.decide(s.Sample, pipeline.Job{}, learned)
	if next == s.Sample {
		return f.applyStep(ctx, e, s, step, next)
	}
	if step.Kind == pipeline.StepFail && !next.Final() { // the sample's deadline has passed
		return f.timeOut(ctx, e, s, next)
	}

	s.Sample = next
	change := f.Queue.Ledger().SampleUpdate(s)
	if next.Final() {
		check := f.finishJobs(ctx, e, s, change)
		f.rechecker.update(s.Key, s.Sample)
		return check
	}
	if err := f.Queue.Ledger().Commit(ctx, change); err != nil {
		return f.retryLater(ctx, e, err, "answer cannot be recorded")
	}
	s.Revision = change.Revision

	return f.applyRecord(ctx, e, s)
}

// answered converts an answer to news for Decide. A record without a readable verdict counts as
// pending.
func answered(r wildfire.VerdictRecord, ok bool) pipeline.Answered {
	a := pipeline.Answered{HasEntry: ok, Verdict: r.Verdict, MD5: r.MD5}
	if ok && !r.HasVerdict {
		a.Verdict = wildfire.Pending
	}

	return a
}

// applyRecord acts on a sample's record: it ends the jobs that wait for the sample, requeues one of
// them, or lets them wait.
func (f *finisher) applyRecord(ctx context.Context, e *waitingSample, s queue.SampleEntry) nextCheck {
	if s.Final() {
		return f.finishJobs(ctx, e, s)
	}

	step, next := f.decide(s.Sample, pipeline.Job{}, pipeline.NoNews{})
	if step.Kind == pipeline.StepLookUpOwner {
		gone, err := f.Member.Gone(ctx, s.Owner)
		if err != nil {
			return f.retryLater(ctx, e, err, "owner of an upload cannot be looked up")
		}
		step, next = f.decide(s.Sample, pipeline.Job{}, pipeline.OwnerLookedUp{Owner: s.Owner, Gone: gone})
	}

	return f.applyStep(ctx, e, s, step, next)
}

// applyStep carries out a step of Decide for a sample whose record is not final.
func (f *finisher) applyStep(ctx context.Context, e *waitingSample, s queue.SampleEntry, step pipeline.Step, next pipeline.Sample) nextCheck {
	switch step.Kind {
	case pipeline.StepWait:
		if step.Asking {
			return f.pendingCheck(e, next.SubmittedAt, step.Due)
		}
		if now := f.Now(); now.Before(step.Due) {
			// Check again long before step.Due, because the uploading worker may die.
			return nextCheck{due: earlierOf(step.Due, now.Add(f.config().Lease))}
		}
		return f.requeueOne(ctx, e) // the job that was to upload may have been removed by hand

	case pipeline.StepFail: // the sample's deadline has passed
		return nextCheck{due: f.Now(), pending: true} // ask WildFire once more before the jobs fail

	case pipeline.StepReconsider:
		s.Sample = next
		c := f.Queue.Ledger().SampleUpdate(s)
		if err := f.Queue.Ledger().Commit(ctx, c); err != nil {
			return f.retryLater(ctx, e, err, "claim of a sample cannot be released")
		}
		s.Revision = c.Revision
		return f.applyRecord(ctx, e, s)
	}

	return f.requeueFor(ctx, e, step)
}

// pendingCheck returns when to ask about a pending sample: at due, which Decide computed from the
// time of the submission.
func (f *finisher) pendingCheck(e *waitingSample, submitted, due time.Time) nextCheck {
	f.mu.Lock()
	defer f.mu.Unlock()

	now := f.Now()
	if submitted.After(now) { // the clock was set back: compute both from the adjusted time in the list
		submitted = earlierOf(e.submitted.time(), now)
		due = f.nextPoll(submitted, now)
	}
	e.submitted = momentOf(submitted)

	return nextCheck{due: due, pending: true}
}
