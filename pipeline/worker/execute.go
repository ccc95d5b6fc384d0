package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// result says what to do with a delivery's message: acknowledge it, because the job is done or
// waits in the ledger, or have it redelivered after a delay.
type result struct {
	ack   bool
	after time.Duration
}

var ack = result{ack: true}

func retryAfter(d time.Duration) result { return result{after: d} }

// execute carries out the next step of a job until it is done, waits, or has to be redelivered. ctx
// ends with the worker's intake: an upload that has not begun by then is given back. work is the
// context of uploads that have begun.
func (w *Worker) execute(ctx, work context.Context, d *delivery) (result, error) {
	if d.invalid != nil {
		return w.invalid(ctx, work, d)
	}
	if err := w.q.Objects().MoveContents(ctx, &d.Message); err != nil {
		return result{}, err
	}
	d.Share = ""
	if err := w.examiner.examine(ctx, d); err != nil {
		return w.notExamined(ctx, work, d, err)
	}

	w.rule(d)
	d.sample.Key = pipeline.SampleKey(d.Job)
	if r, done, err := w.load(ctx, work, d); done || err != nil {
		return r, err
	}

	if err := w.recordWish(ctx, d); err != nil {
		return result{}, err
	}

	var learned pipeline.Event = pipeline.Look{}
	for {
		step, next := pipeline.Decide(d.sample.Sample, d.Job, learned, w.policy(d), w.now())

		var err error
		switch step.Kind {
		case pipeline.StepFindOwner:
			learned, err = w.findOwner(ctx, d)
		case pipeline.StepAsk:
			learned, err = w.ask(ctx, d)
		case pipeline.StepUpload:
			learned, err = w.uploader.upload(ctx, work, d)
			if _, done := learned.(pipeline.Uploaded); done {
				var written context.CancelFunc
				work, written = withFinalWriteTime(work)
				defer written()
			}
		case pipeline.StepReconsider:
			learned = pipeline.Look{}
			err = w.writeSample(ctx, d, next)
		default:
			var r result
			r, err = w.conclude(work, d, learned, step, next)
			if !errors.Is(err, pipeline.ErrConflict) {
				return r, err
			}
		}

		switch u, uploaded := learned.(pipeline.Uploaded); {
		case err == nil:
		case !errors.Is(err, pipeline.ErrConflict):
			return result{}, err
		case uploaded: // the upload's outcome still has to be written
			if r, done, err := w.reload(work, d, u); done || err != nil {
				return r, err
			}
		default: // another worker was faster: read again
			learned = pipeline.Look{}
			if r, done, err := w.load(ctx, work, d); done || err != nil {
				return r, err
			}
		}
	}
}

// reload reads the records again after an upload whose outcome could not be written. If the job has
// ended meanwhile, the outcome is written only to the sample.
func (w *Worker) reload(work context.Context, d *delivery, u pipeline.Uploaded) (r result, done bool, err error) {
	for {
		d.sample, d.entry, err = w.q.Ledger().Load(work, d.sample.Key, d.Job.Ref())
		if err != nil || d.entry.State != queue.JobDone {
			return result{}, false, err
		}

		_, next := pipeline.Decide(d.sample.Sample, d.Job, u, w.policy(d), w.now())
		if next == d.sample.Sample {
			return w.load(work, work, d)
		}
		if err := w.writeSample(work, d, next); err != nil && !errors.Is(err, pipeline.ErrConflict) {
			return result{}, false, err
		}
	}
}

// load reads the records of the job and its sample. done says that nothing is left to do: the job
// has ended, or its ID belongs to another job.
func (w *Worker) load(ctx, work context.Context, d *delivery) (r result, done bool, err error) {
	d.sample, d.entry, err = w.q.Ledger().Load(ctx, d.sample.Key, d.Job.Ref())
	if err != nil {
		return result{}, false, err
	}

	switch known := d.entry; {
	case known.State == "" || known.Sample == d.sample.Key || known.Sample == "":
	case known.State == queue.JobDone && known.Event.Data.SHA256 == "" && known.Event.Data.URL == "":
		// It ended before its contents were known.
	default:
		r, err = w.conflict(work, d)
		return r, true, err
	}
	switch {
	case d.entry.State == queue.JobWaiting && !d.Requeued:
		return ack, true, nil // a repeat; the poller has the job
	case d.entry.State != queue.JobDone:
		return result{}, false, nil
	}

	if err := w.q.Events().Republish(work, &d.Message, d.entry.Event); err != nil {
		return result{}, false, err
	}
	if d.entry.Event.Type == results.Verdict {
		if err := w.oweReport(work, d, d.sample.Sample); err != nil {
			return result{}, false, err
		}
	}
	d.outcome = d.entry.Event.Outcome()

	return ack, true, nil
}

// conflict makes a dead letter of a job whose source used the ID before for other contents. That ID
// already has, or will have, its one final event.
func (w *Worker) conflict(work context.Context, d *delivery) (result, error) {
	cause := results.Error{
		Reason:  results.Conflict,
		Message: "the source used this id before, for other contents: use a new id for each file or link",
	}
	id := d.Job.Ref().String() + "." + d.sample.Key
	if err := w.q.Dead().Put(work, &d.Message, cause, 0, id); err != nil {
		return result{}, err
	}

	d.outcome = string(cause.Reason)
	w.metrics.conflicts.Inc()
	w.log.Warn().Str("job", d.Job.Ref().String()).Str("sha256", d.Job.SHA256).
		Msg("id was used before for other contents; job refused and kept as a dead letter")

	return ack, nil
}

// invalid ends an invalid job.
func (w *Worker) invalid(ctx, work context.Context, d *delivery) (result, error) {
	if r, done, err := w.load(ctx, work, d); done || err != nil {
		return r, err
	}

	return w.fail(work, d, results.Error{Reason: results.InvalidJob, Message: d.invalid.Error()}, 0)
}

// notExamined ends or requeues a job whose contents could not be read.
func (w *Worker) notExamined(ctx, work context.Context, d *delivery, err error) (result, error) {
	disp := pipeline.Classify(pipeline.OpUpload, err)

	switch {
	case disp.Action == pipeline.ReleaseJob:
		if w.examiner.sources.unreachable(d.Job.Source, err) {
			w.log.Error().Err(err).Str("source", d.Job.Source).
				Msg("cannot reach this source's contents; its jobs are left to other workers")
		}
		return retryAfter(disp.Delay), nil

	case disp.Action == pipeline.Defer:
		return retryAfter(max(disp.Delay, w.config().RetryMin)), nil

	case disp.Action == pipeline.Terminate:
		if errors.Is(err, pipeline.ErrOwn) {
			w.log.Error().Err(err).Str("job", d.Job.Ref().String()).Str("file", d.Job.Filename).
				Msg("one of Backburn's own files or secrets was submitted; nothing of it leaves")
		}
		d.sample.Key = pipeline.SampleKey(d.Job)
		if r, done, err := w.load(ctx, work, d); done || err != nil {
			return r, err
		}
		return w.fail(work, d, results.Error{Reason: disp.Reason, Message: disp.Message}, 0)

	case errors.Is(err, pipeline.ErrUnreadable):
		return w.unreadable(work, d, disp)
	}

	return result{}, err
}

// unreadable requeues a job whose contents exist but cannot be read, or ends it if no attempts are
// left. No attempt has been recorded yet, so JetStream's delivery count is used.
func (w *Worker) unreadable(work context.Context, d *delivery, disp pipeline.Disposition) (result, error) {
	meta, err := d.msg.Metadata()
	if err != nil {
		return result{}, fmt.Errorf("read message: %w", err)
	}

	tries := int(min(meta.NumDelivered, 1<<20))
	if tries < w.config().MaxAttempts {
		w.log.Warn().Str("job", d.Job.ID).Int("attempt", tries).Str("err", disp.Message).Msg("cannot read contents; retrying")
		return retryAfter(w.config().Backoff(tries - 1)), nil
	}

	return w.fail(work, d, results.Error{
		Reason:  disp.Reason,
		Message: fmt.Sprintf("given up after %d attempts: %s", tries, disp.Message),
	}, 0)
}

// findOwner finds out whether the owner of a claimed sample is still uploading it. If the claim
// names this worker, its own list of claims decides.
func (w *Worker) findOwner(ctx context.Context, d *delivery) (pipeline.Event, error) {
	owner := d.sample.Owner
	if owner == w.member.ID() {
		return pipeline.Owned{By: owner, Gone: !w.uploader.claims.has(d.sample.Key)}, nil
	}

	gone, err := w.member.Gone(ctx, owner)

	return pipeline.Owned{By: owner, Gone: gone}, err
}

// ask asks WildFire about the sample, in the fleet's next call.
func (w *Worker) ask(ctx context.Context, d *delivery) (pipeline.Event, error) {
	actx, sp := w.spans.Ask(ctx)
	answer, err := w.client.Ask(actx, poller.Question{
		Key:    d.sample.Key,
		URL:    d.Job.URL,
		Urgent: d.Job.Priority == pipeline.Urgent,
	})
	span.EndAsk(sp, answer.Verdict.String(), err != nil)

	if errors.Is(err, poller.ErrNoAnswers) {
		return pipeline.Unanswered{}, nil
	}
	if err != nil {
		return nil, err
	}

	return pipeline.Answered{
		Known:   answer.Verdict != wildfire.Unknown,
		Verdict: answer.Verdict,
		MD5:     answer.MD5,
	}, nil
}

// writeSample writes a change of the sample that belongs to no step.
func (w *Worker) writeSample(ctx context.Context, d *delivery, next pipeline.Sample) error {
	s := d.sample
	s.Sample = next
	c := w.q.Ledger().PutSample(s)
	if err := w.q.Ledger().Commit(ctx, c); err != nil {
		return err
	}

	d.sample = s
	d.sample.Revision = c.Revision
	w.q.Ledger().SampleChanged(s.Key)

	return nil
}

// conclude carries out the last step, and publishes that WildFire accepted the upload if this is
// new.
func (w *Worker) conclude(work context.Context, d *delivery, e pipeline.Event, step pipeline.Step, next pipeline.Sample) (result, error) {
	before := d.sample.Sample
	if step.Kind == pipeline.StepFinish {
		w.config().OweReport(&next, d.Job.Source, w.now()) // the report was published before
	}
	after := d.sample
	after.Sample = next

	var with []*queue.Change
	if next != before {
		with = append(with, w.q.Ledger().PutSample(after))
		if step.Kind != pipeline.StepWait || !step.Asking { // otherwise the job's record says so
			defer w.q.Ledger().SampleChanged(after.Key)
		}
	}

	// The event and the records may become durable in any order: the next delivery completes
	// whatever a crash prevented.
	var published errgroup.Group
	if firstAccepted(before, next, step) {
		published.Go(func() error { return w.q.Events().Publish(work, pipeline.SubmittedEvent(d.Job, next)) })
	}
	r, err := w.writeOutcome(work, d, e, step, next, with)
	if perr := published.Wait(); err == nil && perr != nil {
		return result{}, perr
	}

	return r, err
}

// firstAccepted reports whether this step first learned that WildFire has the sample from this job.
func firstAccepted(before, next pipeline.Sample, step pipeline.Step) bool {
	if step.Basis != results.BasisUpload {
		return false
	}

	return next.State == pipeline.StatePending && before.State != pipeline.StatePending ||
		step.Kind == pipeline.StepFinish && before.Unsure
}

// writeOutcome carries out the last step: it writes the job's outcome together with the sample.
func (w *Worker) writeOutcome(work context.Context, d *delivery, e pipeline.Event, step pipeline.Step, next pipeline.Sample, with []*queue.Change) (result, error) {
	switch step.Kind {
	case pipeline.StepFinish:
		basis := step.Basis
		if d.Basis != "" && basis == results.BasisCache {
			basis = d.Basis // the job waited for this budget
		}
		r, err := w.finish(work, d, pipeline.VerdictEvent(d.Job, next, basis, w.now()), with)
		if err == nil && next.Report == nil {
			err = w.oweReport(work, d, next)
		}
		return r, err

	case pipeline.StepFail:
		return w.finish(work, d, pipeline.FailedEvent(d.Job, step.Cause, step.Attempts, w.now()), with)

	case pipeline.StepWait, pipeline.StepPark:
		why := queue.Waiting{Sample: d.sample.Key, Basis: step.Basis, Parked: step.Budget}
		if step.Asking {
			why.Pending = next.SubmittedAt
		}
		return ack, w.q.Ledger().Commit(work, append(with, w.q.Ledger().PutWaiting(&d.Message, why, d.entry.Revision))...)
	}

	if len(with) > 0 {
		if err := w.q.Ledger().Commit(work, with...); err != nil {
			return result{}, err
		}
	}
	if u, ok := e.(pipeline.Uploaded); ok && u.Disposition.Action == pipeline.Retry {
		w.log.Warn().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Int("attempt", next.Attempts).
			Int("status", u.Disposition.Status).Stringer("delay", step.Delay).Str("err", u.Disposition.Message).
			Msg("upload failed; retrying")
	}

	return retryAfter(step.Delay), nil
}

// recordWish records in the sample whether the job's rule wants the report, before the job can end.
func (w *Worker) recordWish(ctx context.Context, d *delivery) error {
	wished := d.sample.Sample
	if !w.config().RecordWish(&wished, d.Job, d.ruling) {
		return nil
	}

	var err error
	d.sample, err = w.q.Ledger().ChangeSample(ctx, d.sample.Key, func(s *pipeline.Sample) bool {
		return w.config().RecordWish(s, d.Job, d.ruling)
	})

	return err
}

// oweReport handles a report that was published while the job was ending: the job's source still
// has to get it.
func (w *Worker) oweReport(ctx context.Context, d *delivery, s pipeline.Sample) error {
	if !w.config().WantsReport(d.sample.Key, s) {
		return nil
	}

	return w.q.Ledger().OweReport(ctx, d.sample.Key, d.Job.Source, w.config(), w.now())
}

// finish ends a job with its final event.
func (w *Worker) finish(work context.Context, d *delivery, ev results.Event, with []*queue.Change) (result, error) {
	ended, err := w.endedBefore(work, d, ev)
	if err != nil {
		return result{}, err
	}
	if ended {
		d.outcome = "repeat"
		return ack, w.q.Ledger().Commit(work, with...)
	}

	ev, err = w.q.Events().Finish(work, &d.Message, queue.Ending{
		Event:  ev,
		Sample: d.sample.Key,
		Entry:  d.entry,
		With:   with,
	})
	if err != nil {
		return result{}, err
	}

	d.outcome = ev.Outcome()
	w.metrics.Finished(ev)

	return ack, nil
}

// endedBefore reports whether a job that is about to fail for want of its contents has a final
// event already. Its contents are removed when it ends, so a job that was submitted again, because
// the ledger had lost its record, does not find them.
func (w *Worker) endedBefore(work context.Context, d *delivery, ev results.Event) (bool, error) {
	if !d.Job.Repeated || ev.Data.Error == nil || ev.Data.Error.Reason != results.ContentMissing {
		return false, nil
	}

	ended, err := w.q.Events().HasEnded(work, d.Job)
	if err != nil {
		return false, fmt.Errorf("look for the end of a repeated job: %w", err)
	}

	return ended, nil
}

// fail ends a job with a failure.
func (w *Worker) fail(work context.Context, d *delivery, cause results.Error, attempts int) (result, error) {
	return w.finish(work, d, pipeline.FailedEvent(d.Job, cause, attempts, w.now()), nil)
}
