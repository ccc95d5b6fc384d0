package poller

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// question handles a worker's questions.
func (p *Poller) question(m *nats.Msg) {
	var questions []Question
	if m.Reply == "" || json.Unmarshal(m.Data, &questions) != nil || len(questions) > wildfire.MaxHashes {
		return
	}

	p.mu.Lock()
	for _, q := range questions {
		if q.URL != "" && q.Key != pipeline.LinkKey(q.URL) {
			continue // the answer would be recorded for another link
		}
		a := p.asked[q.Key]
		if a == nil {
			a = &workerQuestion{Question: q, inboxes: map[string]bool{}}
			p.asked[q.Key] = a
		}
		a.Urgent = a.Urgent || q.Urgent
		a.Again = a.Again || q.Again
		a.inboxes[m.Reply] = true
		if e := p.list.find(q.Key); a.Again && e != nil && e.pending && !e.busy {
			p.list.toAsk[e] = struct{}{} // jobs already wait for the same answer
		}
	}
	p.mu.Unlock()

	signal(p.wakeAsk)
}

// notifyWaiting answers a request for the numbers of waiting jobs.
func (p *Poller) notifyWaiting(m *nats.Msg) {
	p.mu.Lock()
	w := p.list.waiters()
	if p.reporting() {
		w.Reports = p.reports.status()
	}
	p.mu.Unlock()

	if body, err := json.Marshal(w); err == nil && m.Reply != "" {
		_ = m.Respond(body)
	}
}

// jobWritten handles a job's record in the ledger. Unless the record says that WildFire has the
// sample, the sample is checked at once, because it may have been decided meanwhile.
func (p *Poller) jobWritten(ctx context.Context, r queue.JobRecord) {
	if r.State == queue.JobDone && r.By != "" && r.By != p.term && r.Seq > p.published.from {
		published := p.published.begin() // before the record is marked as seen, so that the mark stays behind it
		p.async(ctx, func() { p.republish(ctx, r.Name, published) })
	}
	p.published.recordSeen(r.Seq)

	if r.State == queue.JobDone && r.By != p.term {
		p.forgetJob(r)
	}
	id, ok := parseSampleID(r.Sample)
	if r.State != queue.JobWaiting || !r.Priority.Valid() || !ok {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	e := p.list.add(id, newWaitingJob(r), r.Time)
	e.again = e.busy
	switch {
	case !r.Pending.IsZero() && !e.busy:
		e.pending = true
		submitted := earlierOf(r.Pending, p.Now())
		e.submitted = momentOf(submitted)
		due := p.config().Schedule().Next(submitted, p.Now())
		p.list.schedule(e, p.capAtDeadline(due, submitted))
		if e.pos != 0 {
			return // it is not the next sample that is due
		}
	case !e.pending:
		p.list.schedule(e, p.Now())
	}
	signal(p.wakeCheck)
}

// forgetJob forgets a job that another process ended.
func (p *Poller) forgetJob(r queue.JobRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if e := p.list.find(r.Sample); e != nil {
		if j, known := e.jobs.get(r.Name); known && j.seq < r.Seq {
			p.list.remove(e, j)
		}
	}
}

// sampleChanged makes a sample due that a worker has changed.
func (p *Poller) sampleChanged(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()

	e := p.list.find(string(m.Data))
	if e == nil {
		return
	}

	e.again = e.busy
	if !e.busy {
		e.pending = false
		delete(p.list.toAsk, e)
		p.list.schedule(e, p.Now())
		signal(p.wakeCheck)
	}
}

// sampleWritten schedules the recheck of a verdict that a worker or a leader wrote.
func (p *Poller) sampleWritten(ctx context.Context, r queue.SampleRecord) {
	var s pipeline.Sample
	if json.Unmarshal(r.Body, &s) != nil {
		return
	}

	p.updateRechecks(r.Key, s)
	p.noteReport(r, s)
	if s.State == pipeline.StateVerdict && !s.WithheldAt.IsZero() {
		p.async(ctx, func() { p.publishWithheld(ctx, r.Key, s) })
	}
}
