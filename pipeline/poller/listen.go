package poller

import (
	"context"

	"github.com/nats-io/nats.go"

	"backburn/pipeline/queue"
)

// jobWritten handles a new record of a job in the ledger. If the job waits, it joins the waitlist.
// Unless its sample is pending, the sample is then checked at once, because it may have got a
// verdict meanwhile.
func (f *finisher) jobWritten(ctx context.Context, r queue.JobHeader) {
	if r.State == queue.JobDone && r.By != "" && r.By != f.term && r.Revision > f.published.from {
		// Call begin before recordSeen, so that the published mark (published.go) cannot move past
		// this record.
		markPublished := f.published.begin()
		f.async(ctx, func() { f.republish(ctx, r.Name, markPublished) })
	}
	f.published.recordSeen(r.Revision)

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
			return // another sample is due first, so checkLoop need not wake
		}
	case !e.pending:
		f.list.schedule(e, f.Now())
	}
	signal(f.wakeCheck)
}

// forgetJob removes from the waitlist a job that a worker or an earlier leader ended, if its record
// names the sample.
func (f *finisher) forgetJob(r queue.JobHeader) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if e := f.list.find(r.Sample); e != nil {
		if j, known := f.list.jobOf(e, r.Name); known && j.seq < r.Revision {
			f.list.remove(e, j)
		}
	}
}

// sampleChanged handles the message that says that a sample's record has changed. It makes the
// sample due now or, if the sample is busy, as soon as it no longer is.
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
