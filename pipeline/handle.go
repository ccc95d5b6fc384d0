package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// handle is the way of one job through a worker, as far as it leads today:
//
//	what is it?  ─ no job, empty, too large, gone ───────────────► failed
//	what is known about its sample?
//	  a verdict ─────────────────────────────────────────────────► verdict (cache)
//	  refused ───────────────────────────────────────────────────► failed
//	  somebody uploads it, or WildFire has it ───────────────────► WAITING
//	  nothing ─ ask WildFire ─ a verdict ────────────────────────► verdict (lookup)
//	                         ─ being analysed ───────────────────► WAITING
//	                         ─ unknown ─ claim it, and upload ───► WAITING
//
// ctx ends with the worker's intake: what has not begun by then goes back. work is for what has.
func (w *Worker) handle(ctx, work context.Context, d *delivery) (fate, error) {
	if err := w.q.unload(ctx, &d.envelope); err != nil {
		return fate{}, err
	}
	if d.bad != nil {
		return w.fail(work, d, results.Error{Reason: results.InvalidJob, Message: d.bad.Error()}, 0)
	}
	c, err := w.examine(ctx, d)
	if err != nil {
		return w.failed(work, d, err)
	}
	key := sampleKey(d.Job)
	for {
		s, rev, err := w.q.loadSample(ctx, key)
		if err != nil {
			return fate{}, err
		}
		next, err := w.known(ctx, work, d, key, &s)
		if err != nil || next != nil {
			return deref(next), err
		}
		next, err = w.unknown(ctx, work, d, key, s, rev, c)
		if !errors.Is(err, errConflict) {
			return deref(next), err
		}
	}
}

func deref(f *fate) fate {
	if f == nil {
		return fate{}
	}
	return *f
}

// examine finds the contents of a file job, and what they are.
func (w *Worker) examine(ctx context.Context, d *delivery) (contents, error) {
	j := &d.Job
	if j.Kind == KindURL {
		return contents{}, nil
	}
	limit := w.cfg.maxFileSize(j.Source)
	if j.Size > limit {
		return contents{}, fmt.Errorf("%w: %d bytes; at most %d", wildfire.ErrTooLarge, j.Size, limit)
	}
	c, err := w.contents(ctx, &d.envelope)
	if err != nil {
		return c, err
	}
	switch {
	case c.size == 0:
		return c, wildfire.ErrEmptyFile
	case c.size > limit:
		return c, fmt.Errorf("%w: %d bytes; at most %d", wildfire.ErrTooLarge, c.size, limit)
	case j.Size != 0 && j.Size != c.size:
		return c, fmt.Errorf("%w: %d bytes then, %d now", errContentChanged, j.Size, c.size)
	}
	if j.SHA256 == "" {
		if j.SHA256, j.Size, err = c.digest(ctx); err != nil {
			return c, err
		}
	}
	j.Size = c.size
	return c, nil
}

// failed ends a job, or sends it back, for an error in getting at its contents.
func (w *Worker) failed(work context.Context, d *delivery, err error) (fate, error) {
	disp := Classify(OpUpload, err)
	switch {
	case disp.Action == Terminate:
		return w.fail(work, d, results.Error{Reason: disp.Reason, Message: disp.Message}, 0)
	case disp.Action == Defer:
		return again(max(disp.Delay, w.cfg.RetryMin)), nil
	case errors.Is(err, errUnreadable):
		return w.unreadable(work, d, disp)
	}
	return fate{}, err
}

// unreadable sends a job back whose contents are there and can't be read, or ends it when its
// attempts are used up. Nothing was written about it yet, so the server's count serves.
func (w *Worker) unreadable(work context.Context, d *delivery, disp Disposition) (fate, error) {
	meta, err := d.msg.Metadata()
	if err != nil {
		return fate{}, err
	}
	tries := int(min(meta.NumDelivered, 1<<20)) //nolint:gosec // small
	if tries < w.cfg.MaxAttempts {
		w.log.Warn().Str("job", d.Job.ID).Int("attempt", tries).Str("err", disp.Message).Msg("contents can't be read; will try again")
		return again(backOff(tries-1, w.cfg.RetryMin, w.cfg.RetryMax)), nil
	}
	return w.fail(work, d, results.Error{
		Reason: disp.Reason, Message: fmt.Sprintf("given up after %d attempts: %s", tries, disp.Message),
	}, 0)
}

// refusalMemory is how long a refusal answers for the same contents.
const refusalMemory = 24 * time.Hour

// known deals with a sample about which something is known. A nil fate means that there is
// nothing, or nothing that still counts.
func (w *Worker) known(ctx, work context.Context, d *delivery, key string, s *sample) (*fate, error) {
	j := d.Job
	switch s.State {
	case stateVerdict:
		if w.now().Sub(s.CheckedAt) > w.cfg.memory(wildfire.Verdict(s.Verdict)) {
			return nil, nil
		}
		return w.end(work, d, verdictEvent(j, *s, results.BasisCache, w.now()))
	case stateRefused:
		if !s.Refusal.covers(j) || w.now().Sub(s.Refusal.At) > refusalMemory {
			return nil, nil
		}
		f, err := w.fail(work, d, s.Refusal.Error, s.Attempts)
		return &f, err
	case statePending:
		return w.wait(work, d, key, basisOf(*s, j))
	case stateRetrying:
		if s.Job != j.ID && w.now().Sub(s.ChangedAt) < w.cfg.patience() {
			return w.wait(work, d, key, results.BasisShared)
		}
		return nil, nil
	case stateUploading:
		gone, err := w.abandoned(ctx, key, s.Owner)
		switch {
		case err != nil:
			return nil, err
		case gone:
			s.Unsure = true // WildFire may have it or not
			return nil, nil
		case s.Job == j.ID:
			f := again(w.cfg.Lease / 3) // another delivery of this job is under way
			return &f, nil
		}
		return w.wait(work, d, key, results.BasisShared)
	}
	return nil, nil
}

// abandoned reports whether nobody is at an upload any more: its worker died, or it is this
// one, which gave up without being able to say so.
func (w *Worker) abandoned(ctx context.Context, key, owner string) (bool, error) {
	if owner == w.fleet.self.ID {
		return !w.claims.has(key), nil
	}
	return w.fleet.gone(ctx, owner)
}

// basisOf tells how a job that waits for a pending sample will have come by its verdict.
func basisOf(s sample, j Job) results.Basis {
	switch s.Job {
	case j.ID:
		return results.BasisUpload
	case "":
		return results.BasisLookup
	}
	return results.BasisShared
}

// unknown deals with a sample that nobody works on: WildFire is asked if so configured, or
// if an upload may have got through unheard, and the rest is uploaded.
func (w *Worker) unknown(ctx, work context.Context, d *delivery, key string, s sample, rev uint64, c contents) (*fate, error) {
	if ev, err := w.q.decided(ctx, jobKey(d.Job.ID)); err != nil {
		return nil, err
	} else if ev.Type != "" {
		return w.end(work, d, ev) // it was done before, with these contents or others
	}
	if w.cfg.AskFirst || s.Unsure {
		actx, span := w.tracing.ask(ctx)
		ans, err := w.asker.ask(actx, question{Key: key, URL: d.Job.URL, Urgent: d.Job.Priority == Urgent})
		endAsk(span, ans, err)
		if errors.Is(err, errNoAnswers) { // it holds nothing up that needs none
			return w.wait(work, d, key, results.BasisShared)
		}
		if err != nil {
			return nil, err
		}
		if ans.Verdict.Final() || ans.Verdict == wildfire.Pending {
			return w.lookedUp(ctx, work, d, key, s, rev, ans)
		}
		if s.Unsure && s.State != stateUploading { // so soon after it was sent, "unknown" may be "not yet"
			if wait := s.ChangedAt.Add(w.cfg.FirstPoll).Sub(w.now()); wait > 0 {
				f := again(min(wait, w.cfg.FirstPoll))
				return &f, nil
			}
		}
	}
	return w.upload(ctx, work, d, key, s, rev, c)
}

// lookedUp deals with a sample that WildFire knew.
func (w *Worker) lookedUp(ctx, work context.Context, d *delivery, key string, s sample, rev uint64, ans answer) (*fate, error) {
	ours := s.Unsure && s.Job == d.Job.ID
	basis := results.BasisLookup
	if ours {
		basis = results.BasisUpload
	} else {
		s.Job = ""
	}
	if s.Size == 0 {
		s.Size = d.Job.Size
	}
	now := w.now()
	if ours {
		if s.SubmittedAt.IsZero() {
			s.SubmittedAt = s.ChangedAt
		}
		if err := w.q.publishEvent(work, submittedEvent(d.Job, s)); err != nil {
			return nil, err
		}
	}
	if ans.Verdict.Final() {
		s.decide(ans.Verdict, ans.MD5, now)
	} else {
		s.submitted(now)
	}
	if _, err := w.q.saveSample(ctx, key, s, rev); err != nil {
		return nil, err
	}
	if ans.Verdict.Final() {
		return w.end(work, d, verdictEvent(d.Job, s, basis, now))
	}
	return w.wait(work, d, key, basis)
}

// wait moves a job to WAITING, where the batcher ends it when its sample has its verdict.
func (w *Worker) wait(ctx context.Context, d *delivery, key string, basis results.Basis) (*fate, error) {
	if err := w.q.await(ctx, &d.envelope, key, basis); err != nil {
		return nil, err
	}
	return &over, nil
}

// await publishes a job to WAITING. A job that waits already takes its own place.
func (q *Queue) await(ctx context.Context, e *envelope, key string, basis results.Basis) error {
	m := e.onward(q.waitingSubject(key, jobKey(e.Job.ID)))
	m.Header.Set(headerBasis, string(basis))
	inject(ctx, m.Header)
	_, err := q.publish(ctx, m)
	return err
}

// end settles a job with its final event.
func (w *Worker) end(ctx context.Context, d *delivery, ev results.Event) (*fate, error) {
	ev, err := w.q.settle(ctx, &d.envelope, ev)
	if err != nil {
		return nil, err
	}
	d.outcome = ev.Outcome()
	w.metrics.finished(ev)
	logOutcome(w.log, ev)
	return &over, nil
}

// fail settles a job that can't be done.
func (w *Worker) fail(ctx context.Context, d *delivery, cause results.Error, attempts int) (fate, error) {
	f, err := w.end(ctx, d, failedEvent(d.Job, cause, attempts, w.now()))
	return deref(f), err
}

// submittedEvent tells that WildFire took an upload.
func submittedEvent(j Job, s sample) results.Event {
	ev := eventFor(results.Submitted, j, s.SubmittedAt)
	ev.Data.MD5, ev.Data.Filetype = s.MD5, s.Filetype
	ev.Data.Basis, ev.Data.SubmittedAt, ev.Data.Attempts = results.BasisUpload, s.SubmittedAt, s.Attempts+1
	return ev
}
