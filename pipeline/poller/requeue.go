package poller

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

const (
	maxRequeueRate = 64 // the largest number of jobs to requeue per second

	// The time until a sample that waits for a budget is checked again on the same day. A shorter
	// time would gain little: if a worker returns a part of the upload budget, the samples that
	// wait for it are checked at once (Quota.WatchReturns).
	spentRetry = 15 * time.Minute
)

// requeueRate returns how many jobs to requeue per second, given the fleet's upload rate: enough to
// keep the fleet busy, but not so many that most of them find the budget used up and are parked
// again.
func requeueRate(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return maxRequeueRate
	}

	return rate.Limit(min(2*perSecond, maxRequeueRate))
}

// requeueFor requeues a job of a sample for a step that a worker has to carry out.
func (f *finisher) requeueFor(ctx context.Context, e *waitingSample, step pipeline.Step) nextCheck {
	if step.Kind == pipeline.StepAsk {
		if pause, paused, _ := f.Pauses.ActiveLong(pipeline.Queries); paused {
			return nextCheck{due: pause.Until} // a worker could not ask WildFire now
		}
		left, err := f.Queries.Available(ctx, "", f.mostUrgent(e).priority())
		switch {
		case err != nil:
			return f.retryLater(ctx, e, err, "query budget cannot be read")
		case !left:
			return f.spentCheck()
		}
	}

	return f.requeueOne(ctx, e)
}

// requeueOne requeues the most urgent job of a sample that no worker has claimed. The other jobs
// wait for the outcome of that job. If the sample is still not claimed a while later, because the
// queue is long, the job is requeued once more.
func (f *finisher) requeueOne(ctx context.Context, e *waitingSample) nextCheck {
	job := f.mostUrgent(e)
	now := f.Now()
	if job.name == "" {
		return nextCheck{due: now}
	}
	if pause, paused, _ := f.Pauses.ActiveLong(pipeline.Uploads); paused {
		return nextCheck{due: pause.Until}
	}
	if check, spent := f.ifSpent(ctx, e, f.Uploads, job.source(), job.priority()); spent {
		return check
	}
	if !f.requeues.Allow() {
		return nextCheck{due: now.Add(f.requeueDelay()), awaitsTurn: true}
	}

	entry, err := f.Queue.Ledger().ReadJob(ctx, job.name)
	m := entry.Message
	switch {
	case err != nil:
		return f.retryLater(ctx, e, err, "waiting job cannot be read")
	case m == nil:
		f.forget(e, job)
		return nextCheck{due: now}
	}
	if budget := f.RuleBudgets.ByKey(m.RuleBudget); budget != nil {
		if check, spent := f.ifSpent(ctx, e, budget, "", pipeline.Normal); spent {
			return check
		}
	}
	if err := f.Queue.Jobs().Requeue(ctx, m); err != nil {
		return f.retryLater(ctx, e, err, "waiting job cannot be requeued")
	}

	return nextCheck{due: now.Add(4 * f.config().Lease)}
}

// ifSpent returns when to check a sample again if a budget has no upload left or cannot be read.
// Otherwise spent is false.
func (f *finisher) ifSpent(ctx context.Context, e *waitingSample, b *fleet.Quota, source string, p pipeline.Priority) (check nextCheck, spent bool) {
	ok, err := b.Available(ctx, source, p)
	switch {
	case err != nil:
		return f.retryLater(ctx, e, err, "upload budget cannot be read"), true
	case ok:
		return nextCheck{}, false
	}

	return f.spentCheck(), true
}

// spentCheck returns when to check a sample again if today's budget has no call left for it: after
// spentRetry, or at the renewal of the budget if that is sooner.
func (f *finisher) spentCheck() nextCheck {
	now := f.Now()

	return nextCheck{due: now.Add(min(spentRetry, pipeline.ResetAfter(now).Sub(now)))}
}

// mostUrgent returns the most urgent job of a sample or, if several are equally urgent, the oldest
// of them; the zero value if none waits.
func (f *finisher) mostUrgent(e *waitingSample) (job waitingJob) {
	f.mu.Lock()
	defer f.mu.Unlock()

	for j := range f.list.jobsOf(e) {
		if job.name == "" || j.rank < job.rank || j.rank == job.rank && j.seq < job.seq {
			job = j
		}
	}

	return job
}

// requeueDelay returns the time until the next attempt to requeue a job. It is a random part of the
// time that it takes to requeue all jobs that wait for their turn, so that most attempts succeed.
// If that time is longer than spentRetry, it is a random part of spentRetry, and more attempts
// fail.
func (f *finisher) requeueDelay() time.Duration {
	f.mu.Lock()
	n := f.list.awaitingTurn + 1
	f.mu.Unlock()

	all := time.Duration(float64(n) / float64(f.requeues.Limit()) * float64(time.Second))

	return rand.N(min(max(all, time.Second), spentRetry))
}
