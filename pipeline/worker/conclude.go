package worker

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// conclude carries out a step after which this worker stops working on the job: finish, fail, wait,
// park or retry. If the step is the first to learn that WildFire accepted the upload, conclude also
// publishes that. It returns pipeline.ErrConflict if a record has changed meanwhile.
func (w *Worker) conclude(work context.Context, d *delivery, c decision) (result, error) {
	before := d.sample.Sample
	var changes []*queue.Change
	if c.sample != before {
		after := d.sample
		after.Sample = c.sample
		changes = append(changes, w.Queue.Ledger().SampleUpdate(after))
		// If the job waits for WildFire, the poller learns of the change from the job's record.
		if c.step.Kind != pipeline.StepWait || !c.step.Asking {
			defer w.Queue.Ledger().NotifySampleChanged(after.Key)
		}
	}

	// Is this the first step to learn that WildFire has accepted this job's upload?
	accepted := c.step.Basis == results.BasisUpload &&
		(c.sample.State == pipeline.StatePending && before.State != pipeline.StatePending ||
			c.step.Kind == pipeline.StepFinish && before.Unsure)

	// The event "submitted" and the records may become durable in any order. If a crash or an error
	// prevents one of them, the next delivery makes up for it: load publishes the event.
	var published errgroup.Group
	if accepted {
		published.Go(func() error { return w.Queue.Events().Publish(work, pipeline.SubmittedEvent(d.Job, c.sample)) })
	}
	r, err := w.writeOutcome(work, d, c, changes)
	if perr := published.Wait(); err == nil && perr != nil {
		return result{}, perr
	}

	return r, err
}

// writeOutcome writes the outcome of the step, in one commit with the change of the job's sample.
func (w *Worker) writeOutcome(work context.Context, d *delivery, c decision, changes []*queue.Change) (result, error) {
	switch c.step.Kind {
	case pipeline.StepFinish:
		basis := c.step.Basis
		if d.Basis != "" && basis == results.BasisCache {
			basis = d.Basis // the basis was determined before the job waited
		}
		r, err := w.finish(work, d, pipeline.VerdictEvent(d.Job, c.sample, basis, w.Now()), changes)
		if err == nil {
			err = w.oweReport(work, d, c.sample)
		}
		return r, err

	case pipeline.StepFail:
		return w.finish(work, d, pipeline.FailedEvent(d.Job, c.step.Cause, c.step.Attempts, w.Now()), changes)

	case pipeline.StepWait, pipeline.StepPark:
		why := queue.Waiting{Sample: d.sample.Key, Basis: c.step.Basis, Parked: c.step.Budget}
		if c.step.Asking {
			why.Pending = c.sample.SubmittedAt
		}
		return ack, w.Queue.Ledger().Commit(work, append(changes, w.Queue.Ledger().WaitingUpdate(&d.Message, why, d.entry.Revision))...)
	}

	if len(changes) > 0 {
		if err := w.Queue.Ledger().Commit(work, changes...); err != nil {
			return result{}, err
		}
	}
	if u, ok := c.learned.(pipeline.UploadEnded); ok && u.Disposition.Action == pipeline.Retry {
		w.Log.Warn().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Int("attempt", c.sample.Attempts).
			Int("status", u.Disposition.Status).Stringer("delay", c.step.Delay).Str("err", u.Disposition.Message).
			Msg("upload failed; retrying")
	}

	return retryAfter(c.step.Delay), nil
}

// fail ends a job that was not uploaded in this delivery, with a failure that does not change the
// job's sample.
func (w *Worker) fail(work context.Context, d *delivery, cause results.Error) (result, error) {
	return w.finish(work, d, pipeline.FailedEvent(d.Job, cause, 0, w.Now()), nil)
}

func (w *Worker) finish(work context.Context, d *delivery, ev results.Event, changes []*queue.Change) (result, error) {
	if d.Job.Repeated && ev.Data.Error != nil && ev.Data.Error.Reason == results.ContentMissing {
		// Contents are removed when their job ends. If the ledger then loses the job's record and
		// the job is submitted again, its contents are missing.
		ended, err := w.Queue.Events().HasEnded(work, d.Job)
		if err != nil {
			return result{}, fmt.Errorf("find the final event of a job that was submitted again: %w", err)
		}
		if ended {
			d.outcome = "repeat"
			return ack, w.Queue.Ledger().Commit(work, changes...)
		}
	}

	ev, err := w.Queue.Events().Finish(work, &d.Message, queue.Ending{
		Event:   ev,
		Sample:  d.sample.Key,
		Entry:   d.entry,
		Changes: changes,
	})
	if err != nil {
		return result{}, err
	}

	d.outcome = ev.Outcome()
	w.metrics.Finished(ev)

	return ack, nil
}

// oweReport records that the sample's report is still to be published for the job's source, if the
// poller has already published the report, but not for that source. This can happen while the job
// is ending.
func (w *Worker) oweReport(ctx context.Context, d *delivery, s pipeline.Sample) error {
	if !w.config().WantsReport(d.sample.Key, s) {
		return nil
	}

	_, err := w.Queue.Ledger().ChangeSample(ctx, d.sample.Key, func(s *pipeline.Sample) bool {
		return w.config().OweReport(s, d.Job.Source, w.Now())
	})

	return err
}
