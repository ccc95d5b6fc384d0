package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// Submitter uploads files and links; wildfire.Client implements it.
type Submitter interface {
	SubmitFile(ctx context.Context, f wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error)
	SubmitLink(ctx context.Context, link string) (wildfire.LinkSubmission, error)
}

// uploader sends samples to WildFire as pauses, budgets, rate and slots allow.
type uploader struct {
	*shared
	submitter Submitter
	limiter   *rate.Limiter
	turns     *claimTurns
	slots     *slots
	claims    *claims
	progress  *progress
	breaker   breaker
	refusals  pipeline.Refusals
}

// upload waits for a turn, claims the sample and sends it, and returns what was learned. The job
// gets its turn before it claims the sample, so that a more urgent job in another worker does not
// wait for a claim whose owner is itself waiting for a turn. upload returns pipeline.ErrConflict if
// another worker was faster, or if another worker may have taken over the claim: while this process
// was frozen or disconnected, the others may have counted it as dead.
//
// If a claimed sample cannot be sent now, upload gives back the turn and the budget, and then waits
// for both again. It keeps the claim meanwhile, although more urgent jobs may have to wait for it:
// releasing the claim and making it again would take two durable writes each time.
func (u *uploader) upload(ctx, work context.Context, d *delivery) (pipeline.News, error) {
	release, ok := u.claims.hold(d.sample.Key, d.Job.Priority)
	if !ok { // another job here uploads the sample: wait as if its claim were already in the ledger
		d.sample.State = pipeline.StateUploading
		d.sample.Owner = u.Member.ID()
		d.sample.ChangedAt = u.Now()
		return pipeline.OwnerLookedUp{Owner: d.sample.Owner}, nil
	}
	defer release()

	var claimedAt time.Time
	for claimed := false; ; claimed = true {
		switch err := u.admit(ctx, d); {
		case errors.Is(err, errPaused), errors.Is(err, fleet.ErrSpent):
			return pipeline.NotAdmitted{}, nil
		case err != nil && claimed:
			return notSent, nil
		case err != nil:
			return nil, err
		}

		if !claimed {
			var err error
			if claimedAt, err = u.claim(work, d); err != nil {
				u.leave(ctx, d)
				return nil, err
			}
		}
		switch ok, err := u.takeSlot(ctx, d, claimedAt); {
		case errors.Is(err, pipeline.ErrConflict):
			return nil, err
		case err != nil:
			return notSent, nil
		case !ok:
			continue // wait for the end of the pause, or park the job
		}

		sub, disp := u.send(work, d)
		if disp.Action != pipeline.Defer || disp.Doubted || disp.Unsure || work.Err() != nil {
			return u.afterUpload(work, d, sub, disp), nil
		}

		// Neither the file nor the service is at fault: for example, there is no token.
		u.Log.Warn().Str("err", disp.Message).Str("job", d.Job.ID).Msg("upload deferred; retrying")
		if err := u.AwaitToken(ctx); err != nil {
			return u.afterUpload(work, d, sub, disp), nil
		}
	}
}

// notSent is the news that a claimed sample was not sent, because the worker is stopping, or the
// pauses or the budget cannot be read. The next decision then releases the claim.
var notSent = pipeline.UploadEnded{Disposition: pipeline.Disposition{Action: pipeline.Defer}}

// errPaused says that uploads are paused for longer than a worker holds a job.
var errPaused = errors.New("uploads are paused")

// admit gets everything that a claim needs: it waits for a turn and the end of a pause, takes one
// upload from the day's budget, and waits for the rate limit. None of this counts as an attempt. If
// admit returns an error, the caller holds neither the turn nor the upload.
func (u *uploader) admit(ctx context.Context, d *delivery) (err error) {
	if err := u.turns.acquire(ctx, d.Job.Priority, d.Job.Source); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			u.turns.release()
		}
	}()

	for {
		if _, paused, _ := u.Pauses.ActiveLong(pipeline.Uploads); paused {
			return errPaused
		}
		if err := u.Pauses.Wait(ctx, pipeline.Uploads); err != nil {
			return err
		}
		if err := u.takeUpload(ctx, d); err != nil {
			return err
		}
		if err := u.limiter.Wait(ctx); err != nil {
			u.refund(ctx, d, d.ruling.Budgets)
			return err
		}

		if pause, on, _ := u.Pauses.Active(pipeline.Uploads); !on || pause.Probing {
			return nil
		}
		u.refund(ctx, d, d.ruling.Budgets) // uploads were paused while we waited for the rate limit
	}
}

// leave gives back the turn and the upload that admit got.
func (u *uploader) leave(ctx context.Context, d *delivery) {
	u.turns.release()
	u.refund(ctx, d, d.ruling.Budgets)
}

// claim records that this worker uploads the sample, and returns the time just before it wrote the
// record, for HeldSince. claim returns pipeline.ErrConflict if the sample no longer needs an
// upload, or if its record has changed since d got it. A claim is only valid while its worker is a
// member of the fleet, so claim renews a membership in doubt first. A stopping worker does not
// interrupt this write. Otherwise it might not know whether it holds the claim, so it could not
// release the claim, and other workers would wait for it.
func (u *uploader) claim(work context.Context, d *delivery) (began time.Time, err error) {
	next := u.decide(d, pipeline.UploadTurn{Owner: u.Member.ID()})
	if next.step.Kind != pipeline.StepSend {
		return time.Time{}, pipeline.ErrConflict
	}

	ctx, cancel := withFinalWriteTime(work)
	defer cancel()
	if !u.Member.StillMember() {
		if err := u.Member.Renew(ctx); err != nil {
			return time.Time{}, err
		}
	}
	began = time.Now()
	if err := u.writeSample(ctx, d, next.sample); err != nil {
		return time.Time{}, err
	}
	u.turns.claimed(time.Since(began))

	return began, nil
}

// takeUpload spends one upload of the day's budget and of the budgets of the job's rules. It
// returns fleet.ErrSpent if one of them is used up.
func (u *uploader) takeUpload(ctx context.Context, d *delivery) error {
	d.takenAt = u.Now()
	if err := u.Uploads.Take(ctx, d.Job.Source, d.Job.Priority); err != nil {
		return err
	}

	for i, s := range d.ruling.Budgets {
		err := u.RuleBudgets.ByKey(s.Key).Take(ctx, "", pipeline.Normal)
		if err == nil {
			continue
		}
		if errors.Is(err, fleet.ErrSpent) {
			d.RuleBudget = s.Key
			err = fmt.Errorf("%w, for %s", err, d.ruling.Rule)
		}
		u.refund(ctx, d, d.ruling.Budgets[:i])
		return err
	}

	return nil
}

// refund gives back one upload to the day's budget, and one to each of the given budgets of the
// job's rules.
func (u *uploader) refund(ctx context.Context, d *delivery, budgets []pipeline.RuleBudget) {
	u.Uploads.Refund(ctx, d.takenAt, d.Job.Source, d.Job.Priority)
	for _, s := range budgets {
		u.RuleBudgets.ByKey(s.Key).Refund(ctx, d.takenAt, "", pipeline.Normal)
	}
}

// takeSlot waits for an upload slot. The caller holds the turn and the claim. If uploads were
// paused meanwhile, ctx ended, or others may have taken over the sample, takeSlot returns false,
// and gives back everything except the claim. In the last case its error is pipeline.ErrConflict.
func (u *uploader) takeSlot(ctx context.Context, d *delivery, claimedAt time.Time) (bool, error) {
	err := u.slots.acquire(ctx, d.Job.Priority, d.Job.Source)
	if err == nil {
		pause, paused, _ := u.Pauses.Active(pipeline.Uploads)
		held := u.Member.HeldSince(claimedAt)
		if held && (!paused || pause.Probing) {
			return true, nil
		}
		u.slots.release()
		if !held {
			err = pipeline.ErrConflict
		}
	}

	u.leave(ctx, d)

	return false, err
}

// send makes one upload and classifies its outcome. It releases the slot and the turn of the
// caller. If WildFire certainly did not count the upload, send gives it back to the budget.
func (u *uploader) send(work context.Context, d *delivery) (wildfire.Submission, pipeline.Disposition) {
	uctx, sp := u.Spans.Upload(work, d.contents.Size, d.sample.Attempts+1)
	sub, err := u.submit(uctx, d)
	u.slots.release()
	u.turns.release()
	u.turns.uploaded(time.Now())

	disp := pipeline.Classify(pipeline.OpUpload, err)
	if disp.Action == pipeline.Doubt {
		disp = u.refusals.Judge(d.sample.Key, disp)
	}
	span.EndUpload(sp, disp)
	u.metrics.uploads.WithLabelValues(disp.Action.Label()).Inc()
	if disp.Action != pipeline.Complete && !disp.Unsure {
		rctx, cancel := withFinalWriteTime(work)
		u.refund(rctx, d, d.ruling.Budgets)
		cancel()
	}

	return sub, disp
}

func (u *uploader) submit(work context.Context, d *delivery) (wildfire.Submission, error) {
	if d.Job.Kind == pipeline.KindURL {
		l, err := u.submitter.SubmitLink(work, d.Job.URL)
		return wildfire.Submission{URL: l.URL, SHA256: l.SHA256, MD5: l.MD5, Uncertain: l.Uncertain}, err
	}

	report, done := u.progress.start(d.Job, u.Now())
	defer done()

	began := time.Now()
	sub, err := u.submitter.SubmitFile(work, wildfire.File{
		Name:   d.Job.Filename,
		Size:   d.contents.Size,
		SHA256: d.Job.SHA256,
		Open:   d.contents.Open,
	}, wildfire.WithProgress(report))
	if err == nil {
		u.metrics.uploadSeconds.Observe(time.Since(began).Seconds())
		u.metrics.uploadBytes.Add(float64(d.contents.Size))
	}

	return sub, err
}

// afterUpload pauses or resumes uploads depending on the outcome of one upload, and returns what
// was learned about the sample. A pause applies to this process at once, before it is written for
// the fleet.
func (u *uploader) afterUpload(work context.Context, d *delivery, sub wildfire.Submission, disp pipeline.Disposition) pipeline.News {
	ctx, cancel := withFinalWriteTime(work)
	defer cancel()

	if disp.Processed() {
		u.breaker.success()
		u.refusals.Processed(d.sample.Key)
		u.Pauses.EndAfterSuccess(ctx, pipeline.Uploads)
	}

	var err error
	switch disp.Action {
	case pipeline.Complete:
		u.Log.Debug().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Bool("uncertain", sub.Uncertain).Msg("submitted")
	case pipeline.Retry:
		if disp.Reason == results.AttemptsExhausted && u.breaker.fault(d.sample.Key) {
			u.Log.Error().Str("err", disp.Message).Msg("uploads of several samples failed in a row; uploads paused")
			err = u.Pauses.PauseAfterFault(ctx, pipeline.Uploads, "WildFire fails: "+disp.Message)
		}
	case pipeline.ParkBudget:
		var p fleet.Pause
		p, err = u.Pauses.PauseSpent(ctx, pipeline.Uploads)
		u.Log.Warn().Time("until", p.Until).Msg("upload budget is used up; uploads paused")
	case pipeline.PauseFleet:
		u.Log.Error().Str("job", d.Job.ID).Str("err", disp.Message).Msg("uploads are paused")
		if disp.Doubted {
			err = u.Pauses.PauseInDoubt(ctx, pipeline.Uploads, disp.Message)
		} else {
			err = u.Pauses.PauseAfterFault(ctx, pipeline.Uploads, disp.Message)
		}
	}
	if err != nil {
		u.Log.Warn().Err(err).Msg("cannot write a pause yet; it applies only to this process")
	}

	return pipeline.UploadEnded{Disposition: disp, MD5: sub.MD5, Filetype: sub.Filetype}
}

// withFinalWriteTime returns a context that lasts finalWriteTimeout longer than work, so that a
// claim or the outcome of an upload can be recorded even if the shutdown timeout is reached
// meanwhile.
func withFinalWriteTime(work context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(work))
	stop := context.AfterFunc(work, func() {
		_ = pipeline.Sleep(ctx, finalWriteTimeout)
		cancel()
	})

	return ctx, func() { stop(); cancel() }
}

// finalWriteTimeout is how long a claim or an outcome may still be written after work has ended.
const finalWriteTimeout = 2 * time.Second
