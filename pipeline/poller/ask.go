package poller

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/wildfire"
)

// gatherQuestions is how long a question waits for others to share its call. This is negligible
// compared with WildFire's response time, and each call uses one of the day's queries.
const gatherQuestions = 20 * time.Millisecond

// querier asks WildFire about what workers want to know, about samples that jobs wait for, and
// about verdicts to recheck.
type querier struct {
	*shared
	finisher  *finisher
	rechecker *rechecker
	asked     map[string]*workerQuestion // by key; guarded by mu
	linksTurn bool                       // the last call was, or could have been, for a link
}

// workerQuestion is a question, and the inboxes of the workers that want the answer.
type workerQuestion struct {
	Question
	inboxes map[string]bool
	inCall  bool // it is part of the current call
}

// question handles a worker's questions.
func (q *querier) question(m *nats.Msg) {
	var questions []Question
	if m.Reply == "" || json.Unmarshal(m.Data, &questions) != nil || len(questions) > wildfire.MaxHashes {
		return
	}

	q.mu.Lock()
	for _, qn := range questions {
		if qn.URL != "" && qn.Key != pipeline.LinkKey(qn.URL) {
			continue // the answer would be recorded for another link
		}
		a := q.asked[qn.Key]
		if a == nil {
			a = &workerQuestion{Question: qn, inboxes: map[string]bool{}}
			q.asked[qn.Key] = a
		}
		a.Urgent = a.Urgent || qn.Urgent
		a.Again = a.Again || qn.Again
		a.inboxes[m.Reply] = true
		if e := q.list.find(qn.Key); a.Again && e != nil && e.pending && !e.busy {
			q.list.toAsk[e] = struct{}{} // jobs already wait for the same answer
		}
	}
	q.mu.Unlock()

	signal(q.wakeAsk)
}

// askLoop asks WildFire whenever there are questions and the budget allows a call.
func (q *querier) askLoop(ctx context.Context) error {
	var pace pipeline.Pacer
	for attempt := 0; ; {
		pace.Limit = q.config().QueriesPerDay
		if !q.hasQuestions(pace.Plenty()) {
			if err := q.awaitSignal(ctx, q.wakeAsk, q.nextRecheck()); err != nil {
				return err
			}
			continue
		}
		if err := fleet.Sleep(ctx, gatherQuestions); err != nil {
			return err
		}
		if err := q.Pauses.Wait(ctx, pipeline.Queries); err != nil {
			return err
		}
		now := q.Now()
		if d := pace.Delay(now, q.Queries.Limit()-q.Queries.Used(), pipeline.ResetAfter(now)); d > 0 {
			if err := fleet.Sleep(ctx, min(d, q.Tick)); err != nil {
				return err
			}
			continue
		}
		err := q.askOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			attempt = 0
			continue
		}
		if errors.Is(err, fleet.ErrSpent) {
			// The rest is reserved for urgent jobs, which may arrive at any time.
			if err := q.awaitSignal(ctx, q.wakeAsk, idleTicks*q.Tick); err != nil {
				return err
			}
			continue
		}

		if q.afterQueryError(ctx, err) { // another kind of wait follows, so start over
			attempt = 0
			continue
		}
		if err := fleet.Sleep(ctx, q.config().Backoff(attempt)); err != nil {
			return err
		}
		attempt++
	}
}

// nextRecheck returns the time until a verdict may be rechecked. Without spare budget, that is
// checked again after a minute.
func (q *querier) nextRecheck() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d := q.rechecker.rechecks.next(q.Now()); d > 0 {
		return d
	}
	return time.Minute
}

// hasQuestions reports whether there is something to ask. With spare budget, this includes rechecks
// of earlier verdicts.
func (q *querier) hasQuestions(plenty bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.asked)+len(q.list.toAsk) > 0 || plenty && q.rechecker.rechecks.overdue(q.Now())
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
func (q *querier) nextCall() call {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.linksTurn = !q.linksTurn; q.linksTurn {
		if c, ok := q.nextLinkCall(); ok {
			return c
		}
	}
	c := call{polled: map[string]*waiting{}}
	for _, a := range q.asked {
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
		q.poll(&c, e)
		key := e.key()
		if a := q.asked[key]; a == nil || !a.inCall {
			c.hashes = append(c.hashes, key)
		}
	}
	for e := range q.list.toAsk {
		if len(c.hashes) >= wildfire.MaxHashes {
			return c
		}
		if !e.sample.link {
			poll(e)
		}
	}
	if len(c.hashes) == 0 {
		if c, ok := q.nextLinkCall(); ok {
			return c
		}
	}
	// The front of the heap approximates the soonest well enough; sorting a large heap would take
	// too long.
	now := q.Now()
	var more []*waiting
	for _, e := range q.list.due[:min(len(q.list.due), 2*wildfire.MaxHashes)] {
		if len(c.hashes)+len(more) >= wildfire.MaxHashes {
			break
		}
		if e.pending && !e.sample.link && e.due.sub(now) < q.config().FirstPoll && now.Sub(e.submitted.time()) >= q.config().FirstPoll {
			more = append(more, e)
		}
	}
	for _, e := range more {
		poll(e)
	}
	due := q.rechecker.rechecks.take(now, wildfire.MaxHashes-len(c.hashes))
	c.again = append(c.again, due...)
	c.hashes = append(c.hashes, due...)
	return c
}

// nextLinkCall collects a call for one link, if there is one to ask about. The caller holds mu.
func (q *querier) nextLinkCall() (call, bool) {
	for _, a := range q.asked {
		if a.URL == "" {
			continue
		}
		qn := a.Question
		a.inCall = true
		c := call{link: &qn, urgent: a.Urgent, polled: map[string]*waiting{}}
		if a.Again {
			c.again = []string{a.Key}
		}
		if e := q.list.find(a.Key); e != nil { // jobs wait for the same answer
			if _, due := q.list.toAsk[e]; due {
				q.poll(&c, e)
			}
		}
		return c, true
	}
	for e := range q.list.toAsk {
		if e.sample.link {
			c := call{link: &Question{Key: e.key()}, polled: map[string]*waiting{}} // the link's text is read from the job
			q.poll(&c, e)
			return c, true
		}
	}
	return call{}, false
}

// poll adds a sample that jobs wait for to a call. The caller holds mu.
func (q *querier) poll(c *call, e *waiting) {
	delete(q.list.toAsk, e)
	q.list.unschedule(e)
	e.busy = true
	c.polled[e.key()] = e
	for j := range e.jobs.all() {
		c.urgent = c.urgent || j.priority() == pipeline.Urgent
	}
}

// askOnce makes one call and handles its answers. After an error, all its questions are asked
// again.
func (q *querier) askOnce(ctx context.Context) error {
	c := q.nextCall()
	records, err := q.query(ctx, &c)
	if err != nil {
		q.putBack(c)
		return err
	}
	q.Pauses.EndAfterSuccess(ctx, pipeline.Queries)
	q.Metrics.Queries.Inc()
	q.Metrics.Hashes.Observe(float64(len(c.hashes)))
	q.reply(records)
	for key, e := range c.polled {
		r, ok := records[key]
		q.async(ctx, func() { q.finisher.reschedule(e, q.finisher.handleAnswer(ctx, e, r, ok)) })
	}
	for _, key := range c.again {
		if r, ok := records[key]; ok {
			q.async(ctx, func() {
				if err := q.rechecker.handle(ctx, key, r); err != nil && ctx.Err() == nil {
					q.Log.Warn().Err(err).Str("sample", key).Msg("cannot publish a changed verdict")
				}
			})
		}
	}
	return nil
}

// query spends one call of the budget. Records come back by sample key.
func (q *querier) query(ctx context.Context, c *call) (map[string]wildfire.VerdictRecord, error) {
	lane := pipeline.Normal
	if c.urgent {
		lane = pipeline.Urgent
	}
	if c.link != nil {
		if err := q.linkText(ctx, c); err != nil {
			return nil, err
		}
		if c.link.URL == "" {
			return nil, nil // its jobs are gone
		}
	}
	if err := q.Queries.Take(ctx, "", lane); err != nil {
		return nil, err
	}
	if c.link != nil {
		r, err := q.Verdicts.URLVerdict(ctx, c.link.URL)
		switch {
		case errors.Is(err, wildfire.ErrNoVerdict):
			r = wildfire.VerdictRecord{} // a record, but an unreadable one
		case err != nil && pipeline.Classify(pipeline.OpQuery, err).Action == pipeline.Terminate:
			q.Log.Warn().Err(err).Str("link", c.link.Key).Msg("WildFire rejected a URL query; the submission will report the reason")
			return nil, nil
		case err != nil:
			return nil, err
		}
		return map[string]wildfire.VerdictRecord{c.link.Key: r}, nil
	}
	list, err := q.Verdicts.Verdicts(ctx, c.hashes)
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
func (q *querier) linkText(ctx context.Context, c *call) error {
	e := c.polled[c.link.Key]
	if c.link.URL != "" || e == nil {
		return nil
	}

	q.mu.Lock()
	var job waitingJob
	for job = range e.jobs.all() {
		break
	}
	q.mu.Unlock()

	m, _, err := q.Queue.Ledger().ReadWaiting(ctx, job.name)
	if err != nil || m == nil {
		return err
	}
	c.link.URL = m.Job.URL

	return nil
}

// putBack returns the questions of an unsuccessful call to the lists.
func (q *querier) putBack(c call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.asked {
		a.inCall = false
	}
	for _, e := range c.polled {
		e.busy = false
		if e.jobs.len() == 0 {
			q.list.drop(e)
			continue
		}
		q.list.toAsk[e] = struct{}{}
	}
}

// reply answers the workers' questions. A hash with an unreadable record counts as pending, and one
// without a record as unknown.
func (q *querier) reply(records map[string]wildfire.VerdictRecord) {
	byInbox := map[string][]Answer{}
	q.mu.Lock()
	for key, a := range q.asked {
		if !a.inCall {
			continue
		}
		delete(q.asked, key)
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
	q.mu.Unlock()
	for inbox, answers := range byInbox {
		if body, err := json.Marshal(answers); err == nil {
			_ = q.Queue.Conn().Publish(inbox, body) // the worker asks again
		}
	}
}

// afterQueryError pauses or parks queries, depending on why a call failed. It reports whether the
// next call may follow after that, or after a short wait for a token.
func (q *querier) afterQueryError(ctx context.Context, err error) bool {
	d := pipeline.Classify(pipeline.OpQuery, err)
	q.Metrics.Failed.Inc()

	switch d.Action {
	case pipeline.ParkBudget:
		pause, err := q.Pauses.Park(ctx, pipeline.Queries)
		q.logPause(err)
		q.Log.Warn().Time("until", pause.Until).Msg("query budget is used up; queries stop until the reset")
	case pipeline.PauseFleet:
		q.Log.Error().Err(err).Msg("WildFire rejects queries; queries paused")
		q.logPause(q.Pauses.PauseAfterFault(ctx, pipeline.Queries, d.Message))
	case pipeline.Defer:
		q.Log.Warn().Err(err).Msg("cannot query verdicts without a token; retrying")
		_ = q.Wait(ctx)
	default:
		q.Log.Warn().Err(err).Msg("cannot query verdicts; retrying")
		return false
	}

	return true
}

func (q *querier) logPause(err error) {
	if err != nil {
		q.Log.Warn().Err(err).Msg("cannot write a pause; it applies only to this process")
	}
}
