package worker

import (
	"context"
	"errors"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// load reads the records of the job and its sample. It concludes the delivery if the job needs no
// step: it has ended, it already waits, or its ID belongs to another job.
func (w *Worker) load(ctx, work context.Context, d *delivery) (r result, err error) {
	d.sample, d.entry, err = w.Queue.Ledger().Load(ctx, d.sample.Key, d.Job.Ref())
	switch {
	case err != nil:
		return result{}, err
	case d.entry.HasOtherSample(d.sample.Key):
		return w.refuseUsedID(work, d)
	case d.entry.State == queue.JobDone:
		return w.republishEnd(work, d)
	case d.entry.State == queue.JobWaiting && !d.Requeued:
		return ack, w.republishSubmitted(work, d, d.entry.Message.Basis) // the poller already watches the job
	}

	return result{}, nil
}

// republishEnd publishes the final event of an ended job again, because the worker that ended the
// job may have died before it published everything.
func (w *Worker) republishEnd(work context.Context, d *delivery) (result, error) {
	if err := w.republishSubmitted(work, d, d.entry.Event.Data.Basis); err != nil {
		return result{}, err
	}
	if err := w.Queue.Events().Republish(work, &d.Message, d.entry.Event); err != nil {
		return result{}, err
	}
	if d.entry.Event.Type == results.Verdict {
		if err := w.oweReport(work, d, d.sample.Sample); err != nil {
			return result{}, err
		}
	}
	d.outcome = d.entry.Event.Outcome()

	return ack, nil
}

// republishSubmitted publishes again that WildFire accepted the upload of a redelivered job, if the
// job uploaded its contents.
func (w *Worker) republishSubmitted(work context.Context, d *delivery, basis results.Basis) error {
	if basis != results.BasisUpload || d.sample.SubmittedAt.IsZero() {
		return nil
	}

	return w.Queue.Events().PublishOnce(work, pipeline.SubmittedEvent(d.Job, d.sample.Sample))
}

// refuseUsedID makes a dead letter of a job whose ID its source has already used for other
// contents. It publishes no final event, because the earlier job with that ID has, or will get, its
// own.
func (w *Worker) refuseUsedID(work context.Context, d *delivery) (result, error) {
	cause := results.Error{
		Reason:  results.Conflict,
		Message: "the source used this id before, for other contents: use a new id for each file or link",
	}
	id := d.Job.Ref().String() + "." + d.sample.Key
	if err := w.Queue.Dead().Put(work, &d.Message, cause, 0, id); err != nil {
		return result{}, err
	}

	d.outcome = string(cause.Reason)
	w.metrics.conflicts.Inc()
	w.Log.Warn().Str("job", d.Job.Ref().String()).Str("sha256", d.Job.SHA256).
		Msg("id was used before for other contents; job refused and kept as a dead letter")

	return ack, nil
}

// reload reads the records again after an upload whose outcome could not be written. If the job has
// ended meanwhile, or another job now has its ID, the outcome is written only to the sample.
func (w *Worker) reload(work context.Context, d *delivery, u pipeline.UploadEnded) (r result, err error) {
	for {
		d.sample, d.entry, err = w.Queue.Ledger().Load(work, d.sample.Key, d.Job.Ref())
		if err != nil || d.entry.State != queue.JobDone && !d.entry.HasOtherSample(d.sample.Key) {
			return result{}, err
		}

		next := w.decide(d, u).sample
		if next == d.sample.Sample {
			return w.load(work, work, d)
		}
		if err := w.changeSample(work, d, next); err != nil && !errors.Is(err, pipeline.ErrConflict) {
			return result{}, err
		}
	}
}

// recordReportWish records in the sample whether the job's rule wants the report, before the job
// can get a verdict.
func (w *Worker) recordReportWish(ctx context.Context, d *delivery) error {
	wished := d.sample.Sample
	if !w.config().RecordWish(&wished, d.Job, d.ruling) {
		return nil
	}

	var err error
	d.sample, err = w.Queue.Ledger().ChangeSample(ctx, d.sample.Key, func(s *pipeline.Sample) bool {
		return w.config().RecordWish(s, d.Job, d.ruling)
	})

	return err
}
