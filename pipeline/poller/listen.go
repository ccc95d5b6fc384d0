package poller

import (
	"context"

	"github.com/nats-io/nats.go"

	"backburn/pipeline/queue"
)

// jobWritten handles a job's record in the ledger. Unless the record says that WildFire has the
// sample, the sample is checked at once, because it may have been decided meanwhile.
func (f *finisher) jobWritten(ctx context.Context, r queue.JobRecord) {
	if r.State == queue.JobDone && r.By != "" && r.By != f.term && r.Seq > f.published.from {
		// begin comes before recordSeen, so that the mark cannot move past this record.
		markPublished := f.published.begin()
		f.async(ctx, func() { f.republish(ctx, r.Name, markPublished) })
	}
	f.published.recordSeen(r.Seq)

	if r.State == queue.JobDone && r.By != f.term {
		f.forgetJob(r)
	}
	id, ok := parseSampleID(r.Sample)
	if r.State != queue.JobWaiting || !r.Priority.Valid() || !ok {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	e := f.list.add(id, newWaitingJob(r), r.Time)
	e.checkAgain = e.busy
	switch {
	case !r.Pending.IsZero() && !e.busy:
		e.pending = true
		now := f.Now()
		submitted := earlierOf(r.Pending, now)
		e.submitted = momentOf(submitted)
		f.list.schedule(e, f.nextPoll(submitted, now))
		if e.index != 0 {
			return // it is not the next sample that is due
		}
	case !e.pending:
		f.list.schedule(e, f.Now())
	}
	signal(f.wakeCheck)
}

// forgetJob forgets a job that another process ended.
func (f *finisher) forgetJob(r queue.JobRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if e := f.list.find(r.Sample); e != nil {
		if j, known := f.list.jobOf(e, r.Name); known && j.seq < r.Seq {
			f.list.remove(e, j)
		}
	}
}

// sampleChanged makes a sample due that a worker has changed.
func (f *finisher) sampleChanged(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()

	e := f.list.find(string(m.Data))
	if e == nil {
		return
	}

	e.checkAgain = e.busy
	if !e.busy {
		e.pending = false
		delete(f.list.toAsk, e)
		f.list.schedule(e, f.Now())
		signal(f.wakeCheck)
	}
}
