package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"backburn/wildfire"
)

// gatherQuestions is how long a question waits for others to share its call with: nothing
// beside what WildFire takes to answer, and every call costs one of the day's queries.
const gatherQuestions = 20 * time.Millisecond

// askLoop asks WildFire whenever there is something to ask and budget to ask it with.
func (b *batcher) askLoop(ctx context.Context) error {
	pace := pacer{limit: b.cfg.QueriesPerDay}
	for attempt := 0; ; {
		if !b.anything(pace.plenty()) {
			if err := b.waitForAsk(ctx, b.nextRecheck()); err != nil {
				return err
			}
			continue
		}
		if err := sleep(ctx, gatherQuestions); err != nil {
			return err
		}
		if err := b.pauses.wait(ctx, Queries); err != nil {
			return err
		}
		now := b.now()
		if d := pace.delay(now, b.queries.limit-b.queries.used(), resetAfter(now)); d > 0 {
			if err := sleep(ctx, min(d, b.tick)); err != nil {
				return err
			}
			continue
		}
		err := b.askOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			attempt = 0
			continue
		}
		if errors.Is(err, errSpent) {
			// What is left is reserved for urgent jobs: one of those may come any time.
			if err := b.waitForAsk(ctx, idleTicks*b.tick); err != nil {
				return err
			}
			continue
		}
		b.afterQueryError(ctx, err)
		if err := sleep(ctx, backOff(attempt, b.cfg.RetryMin, b.cfg.RetryMax)); err != nil {
			return err
		}
		attempt++
	}
}

// idleTicks is how many ticks may pass without a look at what could be asked: a minute.
const idleTicks = 60

// waitForAsk waits for news of something to ask, at most for d and for idleTicks.
func (b *batcher) waitForAsk(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(min(max(d, time.Millisecond), idleTicks*b.tick))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.wakeAsk:
	case <-t.C:
	}
	return nil
}

// nextRecheck is how long until a verdict may be asked about again. Without budget to spare
// that is looked at again after a minute.
func (b *batcher) nextRecheck() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.rechecks.next(b.now()); d > 0 {
		return d
	}
	return time.Minute
}

// anything reports whether there is something to ask; with budget to spare, that may be
// verdicts which were given before.
func (b *batcher) anything(plenty bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)+len(b.toAsk) > 0 || plenty && b.rechecks.overdue(b.now())
}

// call is what goes into one request.
type call struct {
	hashes []string            // for get/verdicts
	link   *question           // or one link, for get/verdict
	polled map[string]*waiting // by key
	again  []string            // verdicts that were given before
	urgent bool
}

// take collects the next call: workers' questions first, since somebody holds a job for
// them, then what is due, and then, since they cost nothing more, hashes that will be. Links need a
// call each; while there are both, every other call is a link's.
func (b *batcher) take() call {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.linksTurn = !b.linksTurn; b.linksTurn {
		if c, ok := b.takeLink(); ok {
			return c
		}
	}
	c := call{polled: map[string]*waiting{}}
	for _, a := range b.asked {
		if a.URL == "" && len(c.hashes) < maxAsk {
			c.hashes, c.urgent, a.taken = append(c.hashes, a.Key), c.urgent || a.Urgent, true
		}
	}
	poll := func(e *waiting) {
		b.poll(&c, e)
		if a := b.asked[e.key]; a == nil || !a.taken {
			c.hashes = append(c.hashes, e.key)
		}
	}
	for _, e := range b.toAsk {
		if len(c.hashes) >= maxAsk {
			return c
		}
		if !isLink(e.key) {
			poll(e)
		}
	}
	if len(c.hashes) == 0 {
		if c, ok := b.takeLink(); ok {
			return c
		}
	}
	// The front of the heap is near enough to the soonest, and all of it may be very long.
	now := b.now()
	var more []*waiting
	for _, e := range b.list.due[:min(len(b.list.due), 2*maxAsk)] {
		if len(c.hashes)+len(more) >= maxAsk {
			break
		}
		if e.pending && !isLink(e.key) && e.due.Sub(now) < b.cfg.FirstPoll && now.Sub(e.submitted) >= b.cfg.FirstPoll {
			more = append(more, e)
		}
	}
	for _, e := range more {
		poll(e)
	}
	c.again = b.rechecks.take(now, maxAsk-len(c.hashes))
	c.hashes = append(c.hashes, c.again...)
	return c
}

// takeLink collects a call for one link, if there is one to ask about. The caller holds mu.
func (b *batcher) takeLink() (call, bool) {
	for _, a := range b.asked {
		if a.URL != "" {
			qn := a.question
			a.taken = true
			return call{link: &qn, urgent: a.Urgent}, true
		}
	}
	for _, e := range b.toAsk {
		if isLink(e.key) {
			c := call{link: &question{Key: e.key}, polled: map[string]*waiting{}} // its text is read from the job
			b.poll(&c, e)
			return c, true
		}
	}
	return call{}, false
}

// poll takes a sample that jobs wait for into a call. The caller holds mu.
func (b *batcher) poll(c *call, e *waiting) {
	delete(b.toAsk, e.key)
	b.list.unschedule(e)
	e.busy = true
	c.polled[e.key] = e
	for j := range e.jobs.all() {
		c.urgent = c.urgent || j.lane == Urgent
	}
}

// isLink tells the key of a link from that of a file.
func isLink(key string) bool { return len(key) > 2 && key[:2] == "u-" }

// askOnce makes one call and deals with its answers. After an error everything is asked
// again.
func (b *batcher) askOnce(ctx context.Context) error {
	c := b.take()
	records, err := b.query(ctx, &c)
	if err != nil {
		b.putBack(c)
		return err
	}
	b.pauses.healed(ctx, Queries)
	b.m.queries.Inc()
	b.m.asked.Observe(float64(len(c.hashes)))
	b.reply(records)
	for key, e := range c.polled {
		r, ok := records[key]
		b.settleAsync(ctx, func() { b.done(e, b.polled(ctx, e, r, ok)) })
	}
	for _, key := range c.again {
		if r, ok := records[key]; ok {
			b.settleAsync(ctx, func() {
				if err := b.rechecked(ctx, key, r); err != nil && ctx.Err() == nil {
					b.log.Warn().Err(err).Str("sha256", key).Msg("changed verdict can't be told")
				}
			})
		}
	}
	return nil
}

// settleAsync runs f when it is its turn among a bounded number of others, and does not keep
// the caller; serve waits for them all. The samples of those that wait for their turn are busy,
// so there are never more of them than samples.
func (b *batcher) settleAsync(ctx context.Context, f func()) {
	b.settlers.Go(func() {
		select {
		case b.settling <- struct{}{}:
			defer func() { <-b.settling }()
			f()
		case <-ctx.Done():
		}
	})
}

// query spends one call of the budget. Records come back by sample key.
func (b *batcher) query(ctx context.Context, c *call) (map[string]wildfire.VerdictRecord, error) {
	lane := Normal
	if c.urgent {
		lane = Urgent
	}
	if c.link != nil {
		if err := b.linkText(ctx, c); err != nil {
			return nil, err
		}
		if c.link.URL == "" {
			return nil, nil // its jobs are gone
		}
	}
	if err := b.queries.take(ctx, lane); err != nil {
		return nil, err
	}
	if c.link != nil {
		r, err := b.oracle.URLVerdict(ctx, c.link.URL)
		switch {
		case errors.Is(err, wildfire.ErrNoVerdict):
			r = wildfire.VerdictRecord{} // of it, but none that can be read
		case err != nil && Classify(OpQuery, err).Action == Terminate:
			b.log.Warn().Err(err).Str("link", c.link.Key).Msg("WildFire does not answer for a link; who submits it will hear why")
			return nil, nil
		case err != nil:
			return nil, err
		}
		return map[string]wildfire.VerdictRecord{c.link.Key: r}, nil
	}
	list, err := b.oracle.Verdicts(ctx, c.hashes)
	if err != nil {
		return nil, err
	}
	records := make(map[string]wildfire.VerdictRecord, len(list))
	for _, r := range list {
		records[r.SHA256] = r
	}
	return records, nil
}

// linkText finds the URL of a link that is polled, in one of its jobs.
func (b *batcher) linkText(ctx context.Context, c *call) error {
	e := c.polled[c.link.Key]
	if c.link.URL != "" || e == nil {
		return nil
	}
	b.mu.Lock()
	var job waitingJob
	for job = range e.jobs.all() {
		break
	}
	b.mu.Unlock()
	w, err := b.fetch(ctx, job)
	if err != nil || w == nil {
		return err
	}
	c.link.URL = w.envelope.Job.URL
	return nil
}

// putBack returns what an unsuccessful call had taken.
func (b *batcher) putBack(c call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.asked {
		a.taken = false
	}
	for key, e := range c.polled {
		e.busy = false
		if e.jobs.len() == 0 {
			b.list.drop(e)
			continue
		}
		b.toAsk[key] = e
	}
}

// reply answers the workers' questions. A hash that has no readable record counts as
// pending if a record came, and as unknown if none did.
func (b *batcher) reply(records map[string]wildfire.VerdictRecord) {
	byInbox := map[string][]answer{}
	b.mu.Lock()
	for key, a := range b.asked {
		if !a.taken {
			continue
		}
		delete(b.asked, key)
		r, ok := records[key]
		ans := answer{Key: key, Verdict: wildfire.Unknown, MD5: r.MD5}
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
	b.mu.Unlock()
	for inbox, answers := range byInbox {
		if body, err := json.Marshal(answers); err == nil {
			_ = b.q.nc.Publish(inbox, body) // the worker asks again
		}
	}
}

// polled deals with what WildFire said about a sample that jobs wait for.
func (b *batcher) polled(ctx context.Context, e *waiting, r wildfire.VerdictRecord, ok bool) outlook {
	now := b.now()
	s, err := b.record(ctx, e.key, r, ok, now)
	if err != nil {
		b.log.Warn().Err(err).Str("sha256", e.key).Msg("verdict can't be recorded yet")
		return outlook{due: now.Add(b.cfg.Lease / 3), pending: true}
	}
	if s.State == statePending && now.Before(s.SubmittedAt.Add(b.cfg.Deadline)) {
		due := schedule{b.cfg.FirstPoll, b.cfg.MaxPoll}.next(s.SubmittedAt, now)
		return outlook{due: b.soonest(due, s.SubmittedAt), pending: true}
	}
	return b.act(ctx, e, s)
}

// record writes what WildFire said into a pending sample, and returns the sample as it is then.
func (b *batcher) record(ctx context.Context, key string, r wildfire.VerdictRecord, ok bool, now time.Time) (sample, error) {
	s, rev, err := b.sampleOf(ctx, key)
	for {
		if err != nil || s.State != statePending || !s.heard(r, ok, now) {
			return s, err
		}
		if _, err = b.q.saveSample(ctx, key, s, rev); !errors.Is(err, errConflict) {
			return s, err
		}
		s, rev, err = b.q.loadSample(ctx, key) // somebody was faster
	}
}

// heard works what WildFire said into a pending sample, and reports whether it changed.
func (s *sample) heard(r wildfire.VerdictRecord, ok bool, now time.Time) bool {
	if !ok || !r.HasVerdict {
		return false
	}
	switch v := r.Verdict; {
	case v.Final():
		s.decide(v, r.MD5, now)
	case v == wildfire.Unknown && (s.Resubmitted || now.Sub(s.SubmittedAt) < unknownGrace):
		return false
	case v == wildfire.Unknown, v == wildfire.AnalysisError, v == wildfire.Flawed:
		s.lost(v, now)
	case v == wildfire.InvalidHash:
		s.refuse("", rejection("WildFire calls the hash invalid (-103)"), now)
	default:
		return false
	}
	return true
}

// afterQueryError draws the consequence of a call that failed for the query budget.
func (b *batcher) afterQueryError(ctx context.Context, err error) {
	d := Classify(OpQuery, err)
	switch {
	case d.Action == ParkBudget:
		p, perr := b.pauses.park(ctx, Queries)
		if perr != nil {
			b.log.Warn().Err(perr).Msg("the pause can't be recorded")
		}
		b.log.Warn().Time("until", p.Until).Msg("query budget is used up; verdicts wait for the reset")
	case d.Action == PauseFleet:
		b.log.Error().Err(err).Msg("WildFire refuses our queries; they are paused, nothing is lost")
		if perr := b.pauses.grow(ctx, Queries, d.Message); perr != nil {
			b.log.Warn().Err(perr).Msg("the pause can't be recorded")
		}
	default:
		b.log.Warn().Err(err).Msg("verdicts can't be asked for; will try again")
	}
}
