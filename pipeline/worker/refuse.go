package worker

import (
	"context"
	"errors"
	"fmt"

	"backburn/pipeline"
	"backburn/results"
)

// loadAndFail reads the records of a job, and then ends the job with a failure, unless the records
// already conclude it.
func (w *Worker) loadAndFail(ctx, work context.Context, d *delivery, cause results.Error) (result, error) {
	if r, err := w.load(ctx, work, d); r.concluded || err != nil {
		return r, err
	}

	return w.fail(work, d, cause)
}

// afterExamineError ends a job or has it redelivered, depending on why its contents could not be
// examined.
func (w *Worker) afterExamineError(ctx, work context.Context, d *delivery, err error) (result, error) {
	disp := pipeline.Classify(pipeline.OpUpload, err)
	d.sample.Key = pipeline.SampleKey(d.Job)

	switch {
	case disp.Action == pipeline.ReleaseJob:
		if w.examiner.sources.recordUnreachable(d.Job.Source, err) {
			w.Log.Error().Err(err).Str("source", d.Job.Source).
				Msg("cannot reach this source's contents; its jobs are left to other workers")
		}
		return retryAfter(disp.Delay), nil

	case disp.Action == pipeline.Defer:
		return retryAfter(max(disp.Delay, w.config().RetryMin)), nil

	case disp.Action == pipeline.Terminate:
		if errors.Is(err, pipeline.ErrOwn) {
			w.Log.Error().Err(err).Str("job", d.Job.Ref().String()).Str("file", d.Job.Filename).
				Msg("one of Backburn's own files or secrets was submitted; it is not uploaded")
		}
		return w.loadAndFail(ctx, work, d, results.Error{Reason: disp.Reason, Message: disp.Message})

	case errors.Is(err, pipeline.ErrUnreadable):
		return w.retryReading(ctx, work, d, disp)
	}

	return result{}, err
}

// retryReading handles a job whose contents exist but cannot be read. It has the job redelivered,
// or ends the job once this process has failed to read them worker.max_attempts times. The sample's
// attempts cannot limit this, because they count failed uploads. JetStream's number of deliveries
// cannot either, because a job is also redelivered for other reasons, such as a restart.
func (w *Worker) retryReading(ctx, work context.Context, d *delivery, disp pipeline.Disposition) (result, error) {
	tries := w.examiner.failedReads.add(d.Job.Ref())
	if tries < w.config().MaxAttempts {
		w.Log.Warn().Str("job", d.Job.ID).Int("attempt", tries).Str("err", disp.Message).Msg("cannot read contents; retrying")
		return retryAfter(w.config().Backoff(tries - 1)), nil
	}

	return w.loadAndFail(ctx, work, d, results.Error{
		Reason:  disp.Reason,
		Message: fmt.Sprintf("given up after %d attempts: %s", tries, disp.Message),
	})
}
