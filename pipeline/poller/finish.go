package poller

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
)

// timeOut handles a sample that has no verdict at its deadline. If isEarly, it returns when to ask
// about the sample next. Otherwise it ends the sample's jobs, and then replaces the sample with
// released, which Decide returned, so that a later job can upload it again.
func (f *finisher) timeOut(ctx context.Context, e *waitingSample, s queue.SampleEntry, released pipeline.Sample) nextCheck {
	if due, early := f.isEarly(s.SubmittedAt); early {
		return nextCheck{due: due, pending: true}
	}

	check := f.finishJobs(ctx, e, s)
	if f.hasWaitingJobs(e) {
		return check // do not release the sample yet: it would be uploaded again for these jobs
	}

	s.Sample = released
	if err := f.Queue.Ledger().Commit(ctx, f.Queue.Ledger().SampleUpdate(s)); err != nil && !errors.Is(err, pipeline.ErrConflict) {
		f.Log.Warn().Err(err).Str("sha256", e.sample.key()).Msg("sample cannot be released for another upload")
	}

	return check
}

// isEarly reports whether a sample's deadline has passed only because the clock jumped. It returns
// when to ask about the sample next.
func (f *finisher) isEarly(submitted time.Time) (due time.Time, early bool) {
	f.checkClock()
	f.mu.Lock()
	skipped := f.clock.skippedSince(submitted)
	f.mu.Unlock()

	now := f.Now()
	deadline := submitted.Add(f.config().Deadline + skipped)

	return earlierOf(f.config().Schedule().Next(submitted, now), deadline), now.Before(deadline)
}

// checkClock handles a jump of the clock since the last call.
func (f *finisher) checkClock() {
	f.mu.Lock()
	by := f.clock.jumped()
	f.mu.Unlock()

	switch {
	case by > 0:
		f.Log.Warn().Stringer("by", by).Msg("the clock jumped forward; the deadlines of pending samples move by the same amount")
	case by < 0:
		f.Log.Warn().Stringer("by", by).Msg("the clock was set back; adjusting the times of waiting jobs")
		f.shiftTimes(by)
	}
}

// hasWaitingJobs reports whether jobs wait for a sample.
func (f *finisher) hasWaitingJobs(e *waitingSample) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.list.awaited(e)
}

// finishJobs ends the jobs that wait for a sample. Each gets the verdict or the reason that Decide
// finds for it in the sample's record s. Of the jobs that need a worker instead, finishJobs
// requeues one. The changes are written together with the end of the first job. If that job is not
// ended, or if no job waits, they are written alone.
func (f *finisher) finishJobs(ctx context.Context, e *waitingSample, s queue.SampleEntry, changes ...*queue.Change) nextCheck {
	f.mu.Lock()
	jobs := slices.Collect(f.list.jobsOf(e))
	f.mu.Unlock()

	var rest *pipeline.Step
	for _, job := range jobs {
		step, err := f.finishJob(ctx, e, job, s, changes)
		if err != nil {
			return f.retryLater(ctx, e, err, "waiting job cannot be ended")
		}
		changes = nil
		rest = cmp.Or(step, rest)
	}
	// If no job was waiting, the changes are still to be written.
	if err := f.Queue.Ledger().Commit(ctx, changes...); err != nil {
		return f.retryLater(ctx, e, err, "sample cannot be written")
	}

	if rest != nil {
		return f.requeueFor(ctx, e, *rest)
	}

	return nextCheck{due: f.Now().Add(f.config().Lease)} // check again for jobs that arrived meanwhile
}

// finishJob ends one waiting job. If a worker has to process the job instead, finishJob returns the
// step that the worker has to carry out.
func (f *finisher) finishJob(ctx context.Context, e *waitingSample, job waitingJob, s queue.SampleEntry, changes []*queue.Change) (*pipeline.Step, error) {
	m, revision, err := f.Queue.Ledger().WaitingAt(ctx, job.name, job.seq)
	if err != nil {
		return nil, err
	}
	if m == nil {
		f.forget(e, job)
		return nil, f.Queue.Ledger().Commit(ctx, changes...)
	}

	step, _ := f.decide(s.Sample, m.Job, pipeline.NoNews{})
	now := f.Now()

	var ev results.Event
	switch step.Kind {
	case pipeline.StepFinish:
		ev = pipeline.VerdictEvent(m.Job, s.Sample, m.Basis, now)
	case pipeline.StepFail:
		ev = pipeline.FailedEvent(m.Job, step.Cause, step.Attempts, now)
	default:
		return &step, f.Queue.Ledger().Commit(ctx, changes...)
	}

	ctx, sp := f.Spans.Verdict(ctx, m.Job, m.Trace)
	markPublished := f.published.begin()
	ev, err = f.Queue.Events().Finish(ctx, m, queue.Ending{
		Event:   ev,
		Sample:  s.Key,
		Entry:   queue.JobEntry{JobHeader: queue.JobHeader{Revision: revision, State: queue.JobWaiting, Sample: s.Key}},
		Changes: changes,
		By:      f.term,
	})
	span.EndVerdict(sp, ev, err != nil)
	if err == nil {
		f.Metrics.Finished(ev)
		if f.config().WantsReport(s.Key, s.Sample) {
			err = oweReport(ctx, f.Queue.Ledger(), f.config(), ev, now)
		}
	}
	if err != nil {
		// The event may be in the ledger without being published, or the ledger may not say that
		// the report is owed to the job's source. A retry would mend neither, because the job no
		// longer waits.
		f.republish(ctx, job.name, markPublished)
		return nil, err
	}

	markPublished()
	f.forget(e, job)

	return nil, nil
}

// oweReport records that the sample's report is owed to the source of a job that ended with a
// verdict, if the report has already been published, but not for that source.
func oweReport(ctx context.Context, ledger *queue.Ledger, cfg pipeline.Config, ev results.Event, now time.Time) error {
	if ev.Type != results.Verdict || !cfg.Reporting() {
		return nil
	}

	key := keyOf(ev.Data)
	_, err := ledger.ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
		return cfg.WantsReport(key, *s) && cfg.OweReport(s, ev.Data.Source, now)
	})

	return err
}

// republish publishes the final event in a job's record, if there is one and it is not too old,
// because it may not have been published before. Then it calls oweReport. It retries until both
// succeed or ctx ends.
func (f *finisher) republish(ctx context.Context, name string, markPublished func()) {
	for ctx.Err() == nil {
		entry, err := f.Queue.Ledger().ReadJob(ctx, name)
		if err == nil && entry.State == queue.JobDone && !f.published.tooOld(entry.Event, f.Now()) {
			err = f.Queue.Events().Republish(ctx, nil, entry.Event)
			if err == nil {
				err = oweReport(ctx, f.Queue.Ledger(), f.config(), entry.Event, f.Now())
			}
		}
		if err == nil {
			markPublished()
			return
		}

		f.Log.Warn().Err(err).Str("job", name).Msg("cannot publish a recorded event, or record that its report is owed; retrying")
		_ = pipeline.Sleep(ctx, time.Second)
	}
}
