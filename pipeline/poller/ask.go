package poller

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/wildfire"
)

// gatherQuestions is how long a question waits for others to share its call. This is negligible
// compared with WildFire's response time, and each call uses one of the day's queries.
const gatherQuestions = 20 * time.Millisecond

// askLoop asks WildFire whenever there are questions and the budget allows a call.
func (p *Poller) askLoop(ctx context.Context) error {
	var pace pipeline.Pacer
	for attempt := 0; ; {
		pace.Limit = p.config().QueriesPerDay
		if !p.hasQuestions(pace.Plenty()) {
			if err := p.waitForAsk(ctx, p.nextRecheck()); err != nil {
				return err
			}
			continue
		}
		if err := fleet.Sleep(ctx, gatherQuestions); err != nil {
			return err
		}
		if err := p.Pauses.Wait(ctx, pipeline.Queries); err != nil {
			return err
		}
		now := p.Now()
		if d := pace.Delay(now, p.Queries.Limit()-p.Queries.Used(), pipeline.ResetAfter(now)); d > 0 {
			if err := fleet.Sleep(ctx, min(d, p.Tick)); err != nil {
				return err
			}
			continue
		}
		err := p.askOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			attempt = 0
			continue
		}
		if errors.Is(err, fleet.ErrSpent) {
			// The rest is reserved for urgent jobs, which may arrive at any time.
			if err := p.waitForAsk(ctx, idleTicks*p.Tick); err != nil {
				return err
			}
			continue
		}

		if p.afterQueryError(ctx, err) { // another kind of wait follows, so start over
			attempt = 0
			continue
		}
		if err := fleet.Sleep(ctx, p.config().Backoff(attempt)); err != nil {
			return err
		}
		attempt++
	}
}

// idleTicks is how many ticks may pass before the poller looks again for something to ask: one
// minute.
const idleTicks = 60

// waitForAsk waits until there is something new to ask, at most for d and for idleTicks.
func (p *Poller) waitForAsk(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(min(max(d, time.Millisecond), idleTicks*p.Tick))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.wakeAsk:
	case <-t.C:
	}
	return nil
}

// nextRecheck returns the time until a verdict may be rechecked. Without spare budget, that is
// checked again after a minute.
func (p *Poller) nextRecheck() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.rechecks.next(p.Now()); d > 0 {
		return d
	}
	return time.Minute
}

// hasQuestions reports whether there is something to ask. With spare budget, this includes rechecks
// of earlier verdicts.
func (p *Poller) hasQuestions(plenty bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)+len(p.list.toAsk) > 0 || plenty && p.rechecks.overdue(p.Now())
}

// call holds the questions of one request.
type call struct {
	hashes []string            // for get/verdicts
	link   *Question           // or one link, for get/verdict
	polled map[string]*waiting // by key
	again  []string            // earlier verdicts to recheck
	urgent bool
}

// nextCall collects the next call: first the workers' questions, because workers hold jobs for
// them, then samples that are due, and then samples that will be due soon, because they cost
// nothing extra. Each link needs a call of its own; while there are hashes and links, every other
// call is for a link.
func (p *Poller) nextCall() call {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.linksTurn = !p.linksTurn; p.linksTurn {
		if c, ok := p.nextLinkCall(); ok {
			return c
		}
	}
	c := call{polled: map[string]*waiting{}}
	for _, a := range p.asked {
		if a.URL == "" && len(c.hashes) < wildfire.MaxHashes {
			c.hashes = append(c.hashes, a.Key)
			c.urgent = c.urgent || a.Urgent
			a.inCall = true
			if a.Again {
				c.again = append(c.again, a.Key)
			}
		}
	}
	poll := func(e *waiting) {
		p.poll(&c, e)
		key := e.key()
		if a := p.asked[key]; a == nil || !a.inCall {
			c.hashes = append(c.hashes, key)
		}
	}
	for e := range p.list.toAsk {
		if len(c.hashes) >= wildfire.MaxHashes {
			return c
		}
		if !e.sample.link {
			poll(e)
		}
	}
	if len(c.hashes) == 0 {
		if c, ok := p.nextLinkCall(); ok {
			return c
		}
	}
	// The front of the heap approximates the soonest well enough; sorting a large heap would take
	// too long.
	now := p.Now()
	var more []*waiting
	for _, e := range p.list.due[:min(len(p.list.due), 2*wildfire.MaxHashes)] {
		if len(c.hashes)+len(more) >= wildfire.MaxHashes {
			break
		}
		if e.pending && !e.sample.link && e.due.sub(now) < p.config().FirstPoll && now.Sub(e.submitted.time()) >= p.config().FirstPoll {
			more = append(more, e)
		}
	}
	for _, e := range more {
		poll(e)
	}
	due := p.rechecks.take(now, wildfire.MaxHashes-len(c.hashes))
	c.again = append(c.again, due...)
	c.hashes = append(c.hashes, due...)
	return c
}

// nextLinkCall collects a call for one link, if there is one to ask about. The caller holds mu.
func (p *Poller) nextLinkCall() (call, bool) {
	for _, a := range p.asked {
		if a.URL == "" {
			continue
		}
		qn := a.Question
		a.inCall = true
		c := call{link: &qn, urgent: a.Urgent, polled: map[string]*waiting{}}
		if a.Again {
			c.again = []string{a.Key}
		}
		if e := p.list.find(a.Key); e != nil { // jobs wait for the same answer
			if _, due := p.list.toAsk[e]; due {
				p.poll(&c, e)
			}
		}
		return c, true
	}
	for e := range p.list.toAsk {
		if e.sample.link {
			c := call{link: &Question{Key: e.key()}, polled: map[string]*waiting{}} // the link's text is read from the job
			p.poll(&c, e)
			return c, true
		}
	}
	return call{}, false
}

// poll adds a sample that jobs wait for to a call. The caller holds mu.
func (p *Poller) poll(c *call, e *waiting) {
	delete(p.list.toAsk, e)
	p.list.unschedule(e)
	e.busy = true
	c.polled[e.key()] = e
	for j := range e.jobs.all() {
		c.urgent = c.urgent || j.priority() == pipeline.Urgent
	}
}

// askOnce makes one call and handles its answers. After an error, all its questions are asked
// again.
func (p *Poller) askOnce(ctx context.Context) error {
	c := p.nextCall()
	records, err := p.query(ctx, &c)
	if err != nil {
		p.putBack(c)
		return err
	}
	p.Pauses.EndAfterSuccess(ctx, pipeline.Queries)
	p.Metrics.Queries.Inc()
	p.Metrics.Hashes.Observe(float64(len(c.hashes)))
	p.reply(records)
	for key, e := range c.polled {
		r, ok := records[key]
		p.async(ctx, func() { p.reschedule(e, p.handleAnswer(ctx, e, r, ok)) })
	}
	for _, key := range c.again {
		if r, ok := records[key]; ok {
			p.async(ctx, func() {
				if err := p.handleRecheck(ctx, key, r); err != nil && ctx.Err() == nil {
					p.Log.Warn().Err(err).Str("sample", key).Msg("cannot publish a changed verdict")
				}
			})
		}
	}
	return nil
}

// query spends one call of the budget. Records come back by sample key.
func (p *Poller) query(ctx context.Context, c *call) (map[string]wildfire.VerdictRecord, error) {
	lane := pipeline.Normal
	if c.urgent {
		lane = pipeline.Urgent
	}
	if c.link != nil {
		if err := p.linkText(ctx, c); err != nil {
			return nil, err
		}
		if c.link.URL == "" {
			return nil, nil // its jobs are gone
		}
	}
	if err := p.Queries.Take(ctx, "", lane); err != nil {
		return nil, err
	}
	if c.link != nil {
		r, err := p.Verdicts.URLVerdict(ctx, c.link.URL)
		switch {
		case errors.Is(err, wildfire.ErrNoVerdict):
			r = wildfire.VerdictRecord{} // a record, but an unreadable one
		case err != nil && pipeline.Classify(pipeline.OpQuery, err).Action == pipeline.Terminate:
			p.Log.Warn().Err(err).Str("link", c.link.Key).Msg("WildFire rejected a URL query; the submission will report the reason")
			return nil, nil
		case err != nil:
			return nil, err
		}
		return map[string]wildfire.VerdictRecord{c.link.Key: r}, nil
	}
	list, err := p.Verdicts.Verdicts(ctx, c.hashes)
	if err != nil {
		return nil, err
	}
	records := make(map[string]wildfire.VerdictRecord, len(list))
	for _, r := range list {
		records[r.SHA256] = r
	}
	return records, nil
}

// linkText finds the URL of a polled link in one of its jobs.
func (p *Poller) linkText(ctx context.Context, c *call) error {
	e := c.polled[c.link.Key]
	if c.link.URL != "" || e == nil {
		return nil
	}

	p.mu.Lock()
	var job waitingJob
	for job = range e.jobs.all() {
		break
	}
	p.mu.Unlock()

	m, _, err := p.Queue.Ledger().ReadWaiting(ctx, job.name)
	if err != nil || m == nil {
		return err
	}
	c.link.URL = m.Job.URL

	return nil
}

// putBack returns the questions of an unsuccessful call to the lists.
func (p *Poller) putBack(c call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.asked {
		a.inCall = false
	}
	for _, e := range c.polled {
		e.busy = false
		if e.jobs.len() == 0 {
			p.list.drop(e)
			continue
		}
		p.list.toAsk[e] = struct{}{}
	}
}

// reply answers the workers' questions. A hash with an unreadable record counts as pending, and one
// without a record as unknown.
func (p *Poller) reply(records map[string]wildfire.VerdictRecord) {
	byInbox := map[string][]Answer{}
	p.mu.Lock()
	for key, a := range p.asked {
		if !a.inCall {
			continue
		}
		delete(p.asked, key)
		r, ok := records[key]
		ans := Answer{Key: key, Verdict: wildfire.Unknown, MD5: r.MD5}
		switch {
		case ok && r.HasVerdict:
			ans.Verdict = r.Verdict
		case ok:
			ans.Verdict = wildfire.Pending
		}
		for inbox := range a.inboxes {
			byInbox[inbox] = append(byInbox[inbox], ans)
		}
	}
	p.mu.Unlock()
	for inbox, answers := range byInbox {
		if body, err := json.Marshal(answers); err == nil {
			_ = p.Queue.Conn().Publish(inbox, body) // the worker asks again
		}
	}
}

// handleAnswer handles WildFire's answer about a sample that jobs wait for.
func (p *Poller) handleAnswer(ctx context.Context, e *waiting, r wildfire.VerdictRecord, ok bool) nextCheck {
	learned := answered(r, ok)
	read := p.Queue.Ledger().Sample
	if learned.Known && learned.Verdict.Final() {
		read = p.Queue.Ledger().PendingSample // a verdict replaces the record
	}
	s, err := read(ctx, e.key())
	if err != nil {
		return p.retryLater(ctx, e, err, "sample cannot be read")
	}
	if s.State != pipeline.StatePending {
		return p.applyRecord(ctx, e, s)
	}

	step, next := pipeline.Decide(s.Sample, pipeline.Job{}, learned, p.policy(), p.Now())
	if next == s.Sample {
		return p.applyStep(ctx, e, s, step, next)
	}
	if step.Kind == pipeline.StepFail && !next.Final() { // its deadline has passed
		return p.timeOut(ctx, e, s, next)
	}

	s.Sample = next
	change := p.Queue.Ledger().PutSample(s)
	if next.Final() {
		o := p.finishJobs(ctx, e, s, change)
		p.scheduleRecheck(s)
		return o
	}
	if err := p.Queue.Ledger().Commit(ctx, change); err != nil {
		return p.retryLater(ctx, e, err, "answer cannot be recorded")
	}
	s.Revision = change.Revision

	return p.applyRecord(ctx, e, s)
}

// answered converts an answer to an event for Decide. A record without a readable verdict means
// that the sample is being analyzed.
func answered(r wildfire.VerdictRecord, ok bool) pipeline.Answered {
	a := pipeline.Answered{Known: ok, Verdict: r.Verdict, MD5: r.MD5}
	if ok && !r.HasVerdict {
		a.Verdict = wildfire.Pending
	}

	return a
}

// afterQueryError pauses or parks queries, depending on why a call failed. It reports whether the
// next call may follow after that, or after a short wait for a token.
func (p *Poller) afterQueryError(ctx context.Context, err error) bool {
	d := pipeline.Classify(pipeline.OpQuery, err)
	p.Metrics.Failed.Inc()

	switch d.Action {
	case pipeline.ParkBudget:
		pause, err := p.Pauses.Park(ctx, pipeline.Queries)
		p.logPause(err)
		p.Log.Warn().Time("until", pause.Until).Msg("query budget is used up; queries stop until the reset")
	case pipeline.PauseFleet:
		p.Log.Error().Err(err).Msg("WildFire rejects queries; queries paused")
		p.logPause(p.Pauses.PauseAfterFault(ctx, pipeline.Queries, d.Message))
	case pipeline.Defer:
		p.Log.Warn().Err(err).Msg("cannot query verdicts without a token; retrying")
		_ = p.Wait(ctx)
	default:
		p.Log.Warn().Err(err).Msg("cannot query verdicts; retrying")
		return false
	}

	return true
}

func (p *Poller) logPause(err error) {
	if err != nil {
		p.Log.Warn().Err(err).Msg("cannot write a pause; it applies only to this process")
	}
}
