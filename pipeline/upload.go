package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/results"
	"backburn/wildfire"
)

// upload claims the sample and sends it. It returns errConflict if somebody else was
// faster: what is known has to be read again.
func (w *Worker) upload(ctx, work context.Context, d *delivery, key string, s sample, rev uint64, c contents) (*fate, error) {
	defer w.claims.hold(key)()
	s.claim(w.fleet.self.ID, d.Job.ID, w.now())
	s.Size = d.Job.Size
	rev, err := w.q.saveSample(ctx, key, s, rev)
	if err != nil {
		return nil, err
	}
	sub, disp, err := w.send(ctx, work, d, c, s.Attempts+1)
	work, settled := outlive(work)
	defer settled()
	if err != nil {
		return w.notAdmitted(work, d, key, s, rev, err)
	}
	if disp.answered() {
		w.breaker.success()
		w.pauses.healed(work, Uploads)
	}
	switch disp.Action {
	case Complete:
		return w.submitted(work, d, key, s, rev, sub)
	case Terminate:
		return w.terminate(work, d, key, s, rev, disp)
	case Retry:
		if disp.Reason != results.ContentMissing && w.breaker.fault(key) {
			w.log.Error().Str("err", disp.Message).Msg("WildFire fails one file after the other; uploads are paused, nothing is lost")
			if err := w.pauses.grow(work, Uploads, "WildFire fails: "+disp.Message); err != nil {
				return nil, err
			}
		}
		return w.retry(work, d, key, s, rev, disp)
	case ParkBudget:
		if p, err := w.pauses.park(work, Uploads); err == nil {
			w.log.Warn().Time("until", p.Until).Msg("upload budget is used up; files that WildFire does not know wait for the reset")
		}
		return w.park(work, d, key, s, rev)
	case PauseFleet:
		w.log.Error().Str("job", d.Job.ID).Str("err", disp.Message).Msg("uploads are paused; nothing is lost")
		if err := w.pauses.grow(work, Uploads, disp.Message); err != nil {
			return nil, err
		}
	}
	return w.putOff(work, key, s, rev, disp)
}

// outlive returns a context that lasts a moment longer than work: what came of an upload is
// written down even where the upload was the last thing there was time for.
func outlive(work context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(work))
	stop := context.AfterFunc(work, func() {
		_ = sleep(ctx, lastWords)
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// lastWords is how long the writing may take after the time is up.
const lastWords = 2 * time.Second

// send waits for admission and sends, and does so again after outcomes that are no fault of
// the file's or the service's (no token, a folder that is away): with the claim in hand,
// since giving it back and taking it again would be two durable writes each time. Its error is
// that of the admission. A part of the budget is spent only where WildFire may have counted it.
// attempt is 1 for the first.
func (w *Worker) send(ctx, work context.Context, d *delivery, c contents, attempt int) (wildfire.Submission, Disposition, error) {
	for again := false; ; again = true {
		if err := w.admit(ctx, d.Job.Priority, d.Job.Source); err != nil {
			return wildfire.Submission{}, Disposition{}, err
		}
		uctx, span := w.tracing.upload(work, c.size, attempt)
		sub, err := w.submit(uctx, d, c)
		w.slots.release()
		disp := Classify(OpUpload, err)
		endUpload(span, disp)
		w.metrics.uploads.WithLabelValues(disp.Action.label()).Inc()
		if disp.Action != Complete && !disp.Unsure {
			w.uploads.refund(d.Job.Priority)
		}
		if disp.Action != Defer || work.Err() != nil {
			return sub, disp, nil
		}
		if !again {
			w.log.Warn().Err(err).Str("job", d.Job.ID).Msg("upload put off; will try again")
		}
		if err := sleep(ctx, max(disp.Delay, w.cfg.RetryMin)); err != nil {
			return sub, disp, err
		}
	}
}

// errPaused says that uploads are paused for so long that a job is not kept in hand.
var errPaused = errors.New("uploads are paused")

// admit waits for everything that an upload needs: no pause, a slot, a part of the day's
// budget, a turn of the rate. None of it counts as an attempt.
func (w *Worker) admit(ctx context.Context, p Priority, source string) error {
	if err := w.slots.acquire(ctx, p, source); err != nil {
		return err
	}
	err := w.pass(ctx, p)
	if err != nil {
		w.slots.release()
	}
	return err
}

func (w *Worker) pass(ctx context.Context, p Priority) error {
	if _, paused, _ := w.pauses.long(Uploads); paused {
		return errPaused
	}
	if err := w.pauses.wait(ctx, Uploads); err != nil {
		return err
	}
	if err := w.uploads.take(ctx, p); err != nil {
		return err
	}
	err := w.limiter.Wait(ctx)
	if err != nil {
		w.uploads.refund(p)
	}
	return err
}

// notAdmitted gives the claim of an upload back that did not begin.
func (w *Worker) notAdmitted(work context.Context, d *delivery, key string, s sample, rev uint64, cause error) (*fate, error) {
	if errors.Is(cause, errPaused) || errors.Is(cause, errSpent) {
		return w.park(work, d, key, s, rev)
	}
	if _, err := w.putOff(work, key, s, rev, Disposition{}); err != nil {
		return nil, err
	}
	return nil, cause
}

// park moves a job for which there is no upload today to WAITING, so that it holds nothing
// up that needs none. The batcher sends it back to work when there is budget again.
func (w *Worker) park(work context.Context, d *delivery, key string, s sample, rev uint64) (*fate, error) {
	if _, err := w.putOff(work, key, s, rev, Disposition{}); err != nil {
		return nil, err
	}
	return w.wait(work, d, key, results.BasisShared) // whoever ends it there, it was not this upload
}

// putOff frees the sample without counting an attempt.
func (w *Worker) putOff(work context.Context, key string, s sample, rev uint64, disp Disposition) (*fate, error) {
	s.Unsure = s.Unsure || disp.Unsure
	s.release(stateNone, w.now())
	if err := w.saveOurs(work, key, s, rev); err != nil {
		return nil, err
	}
	f := again(max(disp.Delay, w.cfg.RetryMin))
	return &f, nil
}

// saveOurs writes a sample that we had claimed. If the claim was taken over meanwhile, what the
// other one writes counts. A cluster refuses a write now and then though nothing has changed.
func (w *Worker) saveOurs(ctx context.Context, key string, s sample, rev uint64) error {
	for {
		_, err := w.q.saveSample(ctx, key, s, rev)
		if !errors.Is(err, errConflict) {
			return err
		}
		_, now, err := w.q.loadSample(ctx, key)
		if err != nil || now != rev {
			return err
		}
		if err := sleep(ctx, conflictWait); err != nil {
			return err
		}
	}
}

// submit sends a file or a link.
func (w *Worker) submit(work context.Context, d *delivery, c contents) (wildfire.Submission, error) {
	if d.Job.Kind == KindURL {
		l, err := w.submitter.SubmitLink(work, d.Job.URL)
		return wildfire.Submission{URL: l.URL, SHA256: l.SHA256, MD5: l.MD5, Uncertain: l.Uncertain}, err
	}
	progress, landed := w.flights.start(d.Job, w.now())
	defer landed()
	began := time.Now()
	sub, err := w.submitter.SubmitFile(work,
		wildfire.File{Name: d.Job.Filename, Size: c.size, SHA256: d.Job.SHA256, Open: c.open},
		wildfire.WithProgress(progress))
	if err == nil {
		w.metrics.uploadSeconds.Observe(time.Since(began).Seconds())
		w.metrics.uploadBytes.Add(float64(c.size))
	}
	return sub, err
}

// submitted records that WildFire has the sample, tells it, and lets the job wait. The
// three writes may come in any order: whatever a crash leaves out, the next delivery makes up for.
func (w *Worker) submitted(work context.Context, d *delivery, key string, s sample, rev uint64, sub wildfire.Submission) (*fate, error) {
	s.MD5, s.Filetype = sub.MD5, sub.Filetype
	s.submitted(w.now())
	var g errgroup.Group
	g.Go(func() error { return w.saveOurs(work, key, s, rev) })
	g.Go(func() error { return w.q.publishEvent(work, submittedEvent(d.Job, s)) })
	g.Go(func() error { return w.q.await(work, &d.envelope, key, results.BasisUpload) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.log.Debug().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Bool("uncertain", sub.Uncertain).Msg("submitted")
	return &over, nil
}

// terminate ends a job that WildFire won't take. If that holds for the contents, it is
// remembered for others that bring the same.
func (w *Worker) terminate(work context.Context, d *delivery, key string, s sample, rev uint64, disp Disposition) (*fate, error) {
	cause := results.Error{Reason: disp.Reason, Message: disp.Message, HTTPStatus: disp.Status}
	attempts := s.Attempts + 1
	next := sample{ChangedAt: w.now()}
	if disp.Content {
		next.Attempts = attempts
		next.refuse(extension(d.Job), cause, w.now())
	}
	if err := w.saveOurs(work, key, next, rev); err != nil {
		return nil, err
	}
	f, err := w.fail(work, d, cause, attempts)
	return &f, err
}

// retry counts a fault, and lets the same job try again after a while; or ends it when its
// attempts are used up.
func (w *Worker) retry(work context.Context, d *delivery, key string, s sample, rev uint64, disp Disposition) (*fate, error) {
	tries := w.cfg.MaxAttempts
	if disp.Tries > 0 {
		tries = min(tries, disp.Tries)
	}
	if s.Attempts+1 >= tries {
		disp.Message = fmt.Sprintf("given up after %d attempts: %s", s.Attempts+1, disp.Message)
		return w.terminate(work, d, key, s, rev, disp)
	}
	delay := max(backOff(s.Attempts, w.cfg.RetryMin, w.cfg.RetryMax), min(disp.Delay, w.cfg.RetryMax))
	s.Attempts++
	s.Unsure = disp.Unsure
	s.release(stateRetrying, w.now())
	if err := w.saveOurs(work, key, s, rev); err != nil {
		return nil, err
	}
	w.log.Warn().Str("job", d.Job.ID).Str("sha256", d.Job.SHA256).Int("attempt", s.Attempts).Int("status", disp.Status).
		Dur("delay", delay).Str("err", disp.Message).Msg("upload failed; will try again")
	f := again(delay)
	return &f, nil
}
