package worker

import (
	"context"
	"errors"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// upload waits for a turn, claims the sample and sends it, and returns what was learned. The turn
// comes before the claim, so that a more urgent job never waits for a claim whose owner is itself
// waiting. It returns pipeline.ErrConflict if another worker was faster.
func (w *Worker) upload(ctx, work context.Context, d *delivery) (pipeline.Event, error) {
	release, ok := w.claims.hold(d.sample.Key, d.Job.Priority)
	if !ok { // waits as if the claim were already written
		d.sample.State = pipeline.StateUploading
		d.sample.Owner = w.member.ID()
		d.sample.ChangedAt = w.now()
		return pipeline.Owned{By: d.sample.Owner}, nil
	}
	defer release()

	for claimed := false; ; claimed = true {
		switch err := w.admit(ctx, d); {
		case errors.Is(err, errPaused), errors.Is(err, fleet.ErrSpent):
			return pipeline.NotAdmitted{}, nil
		case err != nil && claimed:
			return pipeline.Uploaded{Disposition: pipeline.Disposition{Action: pipeline.Defer}}, nil
		case err != nil:
			return nil, err
		}

		if !claimed {
			if err := w.claim(ctx, d); err != nil {
				w.turns.release()
				w.refundUpload(ctx, d)
				return nil, err
			}
		}
		if ok, err := w.takeSlot(ctx, d); err != nil {
			return pipeline.Uploaded{Disposition: pipeline.Disposition{Action: pipeline.Defer}}, nil // the worker is stopping
		} else if !ok {
			continue // wait for the end of the pause, or park the job
		}

		sub, disp := w.send(work, d)
		if disp.Action != pipeline.Defer || disp.Doubted || disp.Unsure || work.Err() != nil {
			return w.uploaded(work, d, sub, disp), nil
		}

		// Neither the file nor the service is at fault: for example, there is no token. Keep the
		// claim meanwhile, because releasing and renewing it would be two durable writes each time.
		w.log.Warn().Str("err", disp.Message).Str("job", d.Job.ID).Msg("upload deferred; retrying")
		if err := w.waitForToken(ctx); err != nil {
			return w.uploaded(work, d, sub, disp), nil
		}
	}
}

// waitForToken waits for a moment, and then until there is a token.
func (w *Worker) waitForToken(ctx context.Context) error {
	if err := fleet.Sleep(ctx, w.config().RetryMin); err != nil || w.tokens == nil {
		return err
	}

	return w.tokens.WaitReady(ctx)
}

// claim records that this worker uploads the sample. It returns pipeline.ErrConflict if the sample
// no longer needs an upload.
func (w *Worker) claim(ctx context.Context, d *delivery) error {
	learned := pipeline.Claimed{Owner: w.member.ID()}
	step, next := pipeline.Decide(d.sample.Sample, d.Job, learned, w.policy(d), w.now())
	if step.Kind != pipeline.StepSend {
		return pipeline.ErrConflict
	}

	s := d.sample
	s.Sample = next
	c := w.q.Ledger().PutSample(s)
	began := time.Now()
	if err := w.q.Ledger().Commit(ctx, c); err != nil {
		return err
	}
	w.turns.claimed(time.Since(began))

	d.sample = s
	d.sample.Revision = c.Revision

	return nil
}

// takeSlot waits for an upload slot. The caller holds the turn and the claim. If uploads were
// paused meanwhile or ctx ended, takeSlot releases everything except the claim.
func (w *Worker) takeSlot(ctx context.Context, d *delivery) (bool, error) {
	err := w.slots.acquire(ctx, d.Job.Priority, d.Job.Source)
	if err == nil {
		if pause, on, _ := w.pauses.Active(pipeline.Uploads); !on || pause.Probing {
			return true, nil
		}
		w.slots.release()
	}

	w.turns.release()
	w.refundUpload(ctx, d)

	return false, err
}

// send makes one upload attempt and classifies its outcome. The caller holds a slot and a turn. An
// upload is spent from the budget only if WildFire may have counted it.
func (w *Worker) send(work context.Context, d *delivery) (wildfire.Submission, pipeline.Disposition) {
	uctx, sp := w.spans.Upload(work, d.contents.Size, d.sample.Attempts+1)
	sub, err := w.submit(uctx, d)
	w.slots.release()
	w.turns.release()
	w.turns.uploaded(time.Now())

	disp := pipeline.Classify(pipeline.OpUpload, err)
	if disp.Action == pipeline.Doubt {
		disp = w.refusals.Judge(d.sample.Key, disp)
	}
	span.EndUpload(sp, disp)
	w.metrics.uploads.WithLabelValues(disp.Action.Label()).Inc()
	if disp.Action != pipeline.Complete && !disp.Unsure {
		rctx, cancel := withFinalWriteTime(work)
		w.refundUpload(rctx, d)
		cancel()
	}

	return sub, disp
}

// submit sends a file or a link.
func (w *Worker) submit(work context.Context, d *delivery) (wildfire.Submission, error) {
	if d.Job.Kind == pipeline.KindURL {
		l, err := w.submitter.SubmitLink(work, d.Job.URL)
		return wildfire.Submission{URL: l.URL, SHA256: l.SHA256, MD5: l.MD5, Uncertain: l.Uncertain}, err
	}

	report, done := w.progress.start(d.Job, w.now())
	defer done()

	began := time.Now()
	sub, err := w.submitter.SubmitFile(work, wildfire.File{
		Name:   d.Job.Filename,
		Size:   d.contents.Size,
		SHA256: d.Job.SHA256,
		Open:   d.contents.Open,
	}, wildfire.WithProgress(report))
	if err == nil {
		w.metrics.uploadSeconds.Observe(time.Since(began).Seconds())
		w.metrics.uploadBytes.Add(float64(d.contents.Size))
	}

	return sub, err
}

// uploaded pauses or resumes uploads depending on the outcome of one upload, and returns what was
// learned for the job. A pause applies to this process at once, before it is written for the fleet.
func (w *Worker) uploaded(work context.Context, d *delivery, sub wildfire.Submission, disp pipeline.Disposition) pipeline.Event {
	ctx, cancel := withFinalWriteTime(work)
	defer cancel()

	if disp.Answered() {
		w.breaker.success()
		w.refusals.Accepted(d.sample.Key)
		w.pauses.EndAfterSuccess(ctx, pipeline.Uploads)
	}

	var err error
	switch disp.Action {
	case pipeline.Complete:
		w.log.Debug().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Bool("uncertain", sub.Uncertain).Msg("submitted")
	case pipeline.Retry:
		if disp.Reason == results.AttemptsExhausted && w.breaker.fault(d.sample.Key) {
			w.log.Error().Str("err", disp.Message).Msg("WildFire rejects every file; uploads paused")
			err = w.pauses.PauseAfterFault(ctx, pipeline.Uploads, "WildFire fails: "+disp.Message)
		}
	case pipeline.ParkBudget:
		var p fleet.Pause
		p, err = w.pauses.Park(ctx, pipeline.Uploads)
		w.log.Warn().Time("until", p.Until).Msg("upload budget is used up; uploads stop until the reset")
	case pipeline.PauseFleet:
		w.log.Error().Str("job", d.Job.ID).Str("err", disp.Message).Msg("uploads are paused")
		if disp.Doubted {
			err = w.pauses.PauseInDoubt(ctx, pipeline.Uploads, disp.Message)
		} else {
			err = w.pauses.PauseAfterFault(ctx, pipeline.Uploads, disp.Message)
		}
	}
	if err != nil {
		w.log.Warn().Err(err).Msg("cannot write a pause; it applies only to this process")
	}

	return pipeline.Uploaded{Disposition: disp, MD5: sub.MD5, Filetype: sub.Filetype}
}

// withFinalWriteTime returns a context that lasts a moment longer than work, so that the outcome of
// an upload is recorded even if the shutdown timeout ends with it.
func withFinalWriteTime(work context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(work))
	stop := context.AfterFunc(work, func() {
		_ = fleet.Sleep(ctx, finalWriteTimeout)
		cancel()
	})

	return ctx, func() { stop(); cancel() }
}

// finalWriteTimeout bounds recording an upload's outcome after the time for work is up.
const finalWriteTimeout = 2 * time.Second

// errPaused says that uploads are paused for too long for the worker to hold the job.
var errPaused = errors.New("uploads are paused")

// admit waits for everything that a claim needs: a turn, the end of a pause, one upload of the
// day's budget, and the rate limit. None of these waits counts as an attempt.
func (w *Worker) admit(ctx context.Context, d *delivery) error {
	if err := w.turns.acquire(ctx, d.Job.Priority, d.Job.Source); err != nil {
		return err
	}

	err := w.waitForUpload(ctx, d)
	if err != nil {
		w.turns.release()
	}

	return err
}

func (w *Worker) waitForUpload(ctx context.Context, d *delivery) error {
	for {
		if _, paused, _ := w.pauses.ActiveLong(pipeline.Uploads); paused {
			return errPaused
		}
		if err := w.pauses.Wait(ctx, pipeline.Uploads); err != nil {
			return err
		}
		if err := w.takeUpload(ctx, d); err != nil {
			return err
		}
		if err := w.limiter.Wait(ctx); err != nil {
			w.refundUpload(ctx, d)
			return err
		}

		if pause, on, _ := w.pauses.Active(pipeline.Uploads); !on || pause.Probing {
			return nil
		}
		w.refundUpload(ctx, d) // uploads were paused while we waited for the rate limit
	}
}
