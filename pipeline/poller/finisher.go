package poller

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"backburn/pipeline"
)

// nextCheck says when a sample is due again, and what for.
type nextCheck struct {
	due        time.Time
	pending    bool // WildFire has the sample: ask about it when it is due; otherwise check it
	awaitsTurn bool // a job of the sample waits for its turn to be requeued
}

// finisher checks the samples that jobs wait for, ends their jobs, and requeues jobs that need a
// worker.
type finisher struct {
	*shared
	rechecker *rechecker
	requeues  *rate.Limiter // limits how many jobs are requeued per second
	published markKeeper
	term      string // identifies the current term of leadership in the records of ended jobs

	clock      *clock                 // guarded by mu
	shiftTimes func(by time.Duration) // adjusts the times in all lists after the clock was set back
}

// reschedule puts a sample that is no longer busy back into the schedule. If no job waits for the
// sample, it is dropped.
func (f *finisher) reschedule(e *waitingSample, check nextCheck) {
	f.mu.Lock()
	e.busy = false
	if e.checkAgain {
		e.checkAgain = false
		check = nextCheck{due: f.Now()}
	}
	if !f.list.awaited(e) {
		f.list.drop(e)
	} else {
		e.pending = check.pending
		f.list.setAwaitsTurn(e, check.awaitsTurn)
		f.list.schedule(e, check.due)
	}
	f.mu.Unlock()

	signal(f.wakeCheck)
}

// retryLater logs an error about a sample, unless that is a conflict, and returns when to check the
// sample again.
func (f *finisher) retryLater(ctx context.Context, e *waitingSample, err error, message string) nextCheck {
	if ctx.Err() == nil && !errors.Is(err, pipeline.ErrConflict) {
		f.Log.Warn().Err(err).Str("sha256", e.sample.key()).Msg(message + "; retrying")
	}

	return nextCheck{due: f.Now().Add(f.config().Lease / 3)}
}

// scheduleChecks makes all samples due for a check now, except the pending ones. A busy sample is
// checked once it is no longer busy. scheduleChecks is called after a pause began or ended, unused
// uploads were returned to the day's budget, or settings changed.
func (f *finisher) scheduleChecks() {
	f.mu.Lock()
	defer f.mu.Unlock()

	for e := range f.list.all() {
		switch {
		case e.busy:
			e.checkAgain = true
		case !e.pending:
			f.list.schedule(e, f.Now())
		}
	}
	signal(f.wakeCheck)
}

// forget removes a job from the list, because it no longer waits.
func (f *finisher) forget(e *waitingSample, job waitingJob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list.remove(e, job)
}

// decide calls pipeline.Decide. It needs no ruling of the policy, because the poller uploads
// nothing.
func (f *finisher) decide(s pipeline.Sample, j pipeline.Job, learned pipeline.News) (pipeline.Step, pipeline.Sample) {
	return pipeline.Decide(s, j, learned, pipeline.Circumstances{Config: f.config(), Ruling: pipeline.Unruled()}, f.Now())
}

// nextPoll returns when to ask about a pending sample next, at its deadline at the latest.
func (f *finisher) nextPoll(submitted, now time.Time) time.Time {
	cfg := f.config()

	return earlierOf(cfg.Schedule().Next(submitted, now), submitted.Add(cfg.Deadline))
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}

	return b
}
