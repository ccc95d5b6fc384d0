package poller

import (
	"context"
	"errors"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/wildfire"
)

// gatherTime is how long the poller waits before each call, so that questions that arrive meanwhile
// can share it. Each call uses one of the day's queries, and the wait is short compared with
// WildFire's response time.
const gatherTime = 20 * time.Millisecond

// askLoop asks WildFire whenever there are questions and the budget allows a call.
func (q *querier) askLoop(ctx context.Context) error {
	var pace pipeline.Pacer
	for failures := 0; ; {
		if err := q.awaitCall(ctx, &pace); err != nil {
			return err
		}

		err := q.askOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			failures = 0
			continue
		case errors.Is(err, fleet.ErrSpent):
			// An urgent question, which may arrive at any time, can perhaps use the reserve.
			if err := q.awaitSignal(ctx, q.wakeAsk, idleTicks*q.Tick); err != nil {
				return err
			}
			continue
		case q.afterQueryError(ctx, err): // it has paused queries or waited, so do not back off as well
			failures = 0
			continue
		}

		if err := pipeline.Sleep(ctx, q.config().Backoff(failures)); err != nil {
			return err
		}
		failures++
	}
}

// awaitCall waits until there is something to ask, queries are not paused, and pace allows a call.
func (q *querier) awaitCall(ctx context.Context, pace *pipeline.Pacer) error {
	for {
		pace.Limit = q.config().QueriesPerDay
		now := q.Now()
		if !q.hasQuestions(pace.Plenty(now, q.queriesLeft(), pipeline.ResetAfter(now))) {
			if err := q.awaitSignal(ctx, q.wakeAsk, q.untilRecheck()); err != nil {
				return err
			}
			continue
		}
		if err := pipeline.Sleep(ctx, gatherTime); err != nil {
			return err
		}
		if err := q.Pauses.Wait(ctx, pipeline.Queries); err != nil {
			return err
		}

		now = q.Now()
		delay := pace.Delay(now, q.queriesLeft(), pipeline.ResetAfter(now))
		if delay <= 0 {
			return nil
		}
		if err := pipeline.Sleep(ctx, min(delay, q.Tick)); err != nil {
			return err
		}
	}
}

// queriesLeft returns how many queries are left until the reset. Its result means nothing if the
// budget has no limit. It makes no request.
func (q *querier) queriesLeft() int { return q.Queries.Limit() - q.Queries.Used() }

// untilRecheck returns the time until a recheck may have a call of its own. If that time has come
// but there is no spare budget, it returns a minute.
func (q *querier) untilRecheck() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()

	if d := q.rechecker.rechecks.untilCall(q.Now()); d > 0 {
		return d
	}

	return time.Minute
}

// askOnce makes one call and handles the answers. After an error, it calls putBack, so that the
// questions are asked again.
func (q *querier) askOnce(ctx context.Context) error {
	c := q.nextCall()
	if err := q.addURL(ctx, &c); err != nil {
		q.putBack(c)
		return err
	}
	if c.isEmpty() { // nobody wants an answer any more
		for _, e := range c.awaited {
			q.finisher.reschedule(e, nextCheck{due: q.Now()})
		}
		return nil
	}

	records, err := q.query(ctx, c)
	if err != nil {
		q.putBack(c)
		return err
	}
	q.Pauses.EndAfterSuccess(ctx, pipeline.Queries)
	q.Metrics.Queries.Inc()
	q.Metrics.Hashes.Observe(float64(len(c.hashes)))

	rechecks := q.reply(records)
	for _, r := range c.rechecks {
		rechecks = append(rechecks, r.key)
	}
	for key, e := range c.awaited {
		r, ok := records[key]
		q.async(ctx, func() { q.finisher.reschedule(e, q.finisher.handleAnswer(ctx, e, r, ok)) })
	}
	for _, key := range rechecks {
		q.async(ctx, func() {
			if err := q.rechecker.handleAnswer(ctx, key, records[key]); err != nil && ctx.Err() == nil {
				q.Log.Warn().Err(err).Str("sample", key).Msg("cannot process the answer to a recheck")
			}
		})
	}

	return nil
}

// query makes one call, which uses one of the day's queries. It returns the records by sample key.
func (q *querier) query(ctx context.Context, c call) (map[string]wildfire.VerdictRecord, error) {
	priority := pipeline.Normal
	if c.urgent {
		priority = pipeline.Urgent
	}
	if err := q.Queries.Take(ctx, "", priority); err != nil {
		return nil, err
	}

	var records map[string]wildfire.VerdictRecord
	var err error
	if c.link != nil {
		records, err = q.queryLink(ctx, *c.link)
	} else {
		records, err = q.queryHashes(ctx, c.hashes)
	}
	if err != nil && ctx.Err() == nil {
		q.Metrics.Failed.Inc()
	}

	return records, err
}

// queryHashes asks about up to 500 hashes.
func (q *querier) queryHashes(ctx context.Context, hashes []string) (map[string]wildfire.VerdictRecord, error) {
	list, err := q.Verdicts.Verdicts(ctx, hashes)
	if err != nil {
		return nil, err
	}

	records := make(map[string]wildfire.VerdictRecord, len(list))
	for _, r := range list {
		records[r.SHA256] = r
	}

	return records, nil
}

// queryLink asks about one link.
func (q *querier) queryLink(ctx context.Context, link Question) (map[string]wildfire.VerdictRecord, error) {
	r, err := q.Verdicts.URLVerdict(ctx, link.URL)
	switch {
	case errors.Is(err, wildfire.ErrNoVerdict):
		r = wildfire.VerdictRecord{} // WildFire has a record, but no readable verdict
	case err != nil && pipeline.Classify(pipeline.OpQuery, err).Action == pipeline.Terminate:
		q.Log.Warn().Err(err).Str("link", link.Key).Msg("WildFire rejected a query about a link; the link counts as unknown to WildFire")
		return nil, nil
	case err != nil:
		return nil, err
	}

	return map[string]wildfire.VerdictRecord{link.Key: r}, nil
}

// addURL adds the URL to a call for a link that has none yet. It reads the URL from one of the jobs
// that wait for the link, and adds none if that job, or every job, no longer waits.
func (q *querier) addURL(ctx context.Context, c *call) error {
	if c.link == nil || c.link.URL != "" {
		return nil
	}

	e := c.awaited[c.link.Key]
	q.mu.Lock()
	var job waitingJob
	for job = range q.list.jobsOf(e) {
		break
	}
	q.mu.Unlock()
	if job.name == "" {
		return nil
	}

	entry, err := q.Queue.Ledger().ReadJob(ctx, job.name)
	if err != nil || entry.Message == nil {
		return err
	}
	c.link.URL = entry.Message.Job.URL

	return nil
}

// afterQueryError acts on the failure of a call: it pauses the fleet's queries, or waits for a
// token. It returns false if neither applies; the caller then has to back off.
func (q *querier) afterQueryError(ctx context.Context, err error) bool {
	var writeErr error
	switch disp := pipeline.Classify(pipeline.OpQuery, err); disp.Action {
	case pipeline.ParkBudget:
		var pause fleet.Pause
		pause, writeErr = q.Pauses.PauseSpent(ctx, pipeline.Queries)
		q.Log.Warn().Time("until", pause.Until).Msg("query budget is used up; queries paused")
	case pipeline.PauseFleet:
		q.Log.Error().Err(err).Msg("WildFire rejects queries; queries paused")
		writeErr = q.Pauses.PauseAfterFault(ctx, pipeline.Queries, disp.Message)
	case pipeline.Defer:
		q.Log.Warn().Err(err).Msg("cannot query WildFire without a token; retrying")
		_ = q.AwaitToken(ctx)
	default:
		q.Log.Warn().Err(err).Msg("cannot query verdicts; retrying")
		return false
	}
	if writeErr != nil {
		q.Log.Warn().Err(writeErr).Msg("cannot write a pause yet; it applies only to this process")
	}

	return true
}
