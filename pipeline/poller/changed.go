package poller

import (
	"context"
	"fmt"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// rechecker keeps the list of samples to ask about again. It publishes verdicts that WildFire
// changed, and verdicts on samples that were withheld.
type rechecker struct {
	*shared
	rechecks rechecks // guarded by mu
}

// update adds a sample to the list of rechecks, if its record calls for one.
func (rc *rechecker) update(key string, s pipeline.Sample) {
	rc.mu.Lock()
	defer rc.mu.Unlock()

	if rc.rechecks.update(key, s) {
		signal(rc.wakeAsk) // askLoop may be waiting for a later entry
	}
}

// handleAnswer acts on the answer to a recheck. The record is zero if WildFire returned none.
func (rc *rechecker) handleAnswer(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	s, err := rc.Queue.Ledger().Sample(ctx, key)
	switch {
	case err != nil:
		return err
	case s.State == pipeline.StateNone && !s.WithheldAt.IsZero():
		return rc.handleWithheld(ctx, key, r)
	case s.State != pipeline.StateVerdict || !r.HasVerdict || !r.Verdict.Final() || int(r.Verdict) == s.Verdict:
		return nil
	}

	return rc.publishChangedVerdict(ctx, s, r)
}

// publishChangedVerdict publishes and then records that WildFire changed a verdict. If this process
// dies in between, a later recheck finds the change again.
func (rc *rechecker) publishChangedVerdict(ctx context.Context, s queue.SampleEntry, r wildfire.VerdictRecord) error {
	now := rc.Now().UTC().Truncate(time.Second)
	before := wildfire.Verdict(s.Verdict)
	change := lateVerdict{
		key: s.Key,
		earlier: results.Filter{
			Types:    []results.Type{results.Verdict, results.Changed},
			Outcomes: []string{before.String()},
		},
		since:   s.DecidedAt,
		verdict: r.Verdict,
		at:      now,
	}
	published, err := rc.publishChange(ctx, change)
	if err != nil {
		return err
	}

	_, err = rc.Queue.Ledger().ChangeSample(ctx, s.Key, func(s *pipeline.Sample) bool {
		if s.State != pipeline.StateVerdict || s.Verdict == int(r.Verdict) {
			return false
		}
		s.ReplaceVerdict(r.Verdict, r.MD5, now)
		return true
	})
	rc.Log.Info().Str("sha256", s.Key).Stringer("from", before).Stringer("verdict", r.Verdict).Int("jobs", published).
		Msg("WildFire changed a verdict")

	return err
}

// handleWithheld records WildFire's answer about a withheld sample. If there is no verdict,
// WildFire is asked again later, until the event of the first job that ended as withheld expires.
func (rc *rechecker) handleWithheld(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	_, err := rc.Queue.Ledger().ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
		if s.State != pipeline.StateNone || s.WithheldAt.IsZero() {
			return false
		}
		verdict := wildfire.Unknown
		if r.HasVerdict {
			verdict = r.Verdict
		}
		decided := s.RecordRecheck(verdict, r.MD5, rc.Now())
		return decided || rc.Now().Sub(s.WithheldAt) < rc.Queue.Events().MaxAge()
	})

	return err
}

// publishWithheld publishes a verdict for the jobs that ended as withheld before there was one. It
// retries until that succeeds or ctx ends.
func (rc *rechecker) publishWithheld(ctx context.Context, key string, s pipeline.Sample) {
	change := lateVerdict{
		key:     key,
		earlier: results.Filter{Types: []results.Type{results.Failed}, Outcomes: []string{string(results.Withheld)}},
		since:   s.WithheldAt,
		verdict: wildfire.Verdict(s.Verdict),
		at:      s.DecidedAt.UTC().Truncate(time.Second),
	}

	for ctx.Err() == nil {
		published, err := rc.publishChange(ctx, change)
		if err == nil {
			_, err = rc.Queue.Ledger().ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
				wasWithheld := s.State == pipeline.StateVerdict && !s.WithheldAt.IsZero()
				s.WithheldAt = time.Time{}
				return wasWithheld
			})
		}
		if err == nil {
			rc.Log.Info().Str("sha256", key).Stringer("verdict", change.verdict).Int("jobs", published).
				Msg("a withheld sample now has a verdict")
			return
		}

		rc.Log.Warn().Err(err).Str("sha256", key).Msg("cannot publish the verdict on a withheld sample; retrying")
		_ = pipeline.Sleep(ctx, time.Second)
	}
}

// lateVerdict is a verdict that arrives after jobs have ended.
type lateVerdict struct {
	key     string
	earlier results.Filter // matches the events with the result that those jobs have so far
	since   time.Time      // the search for them begins a minute before this time
	verdict wildfire.Verdict
	at      time.Time
}

// keyOf returns the key of the sample that an event is about.
func keyOf(d results.Data) string {
	if d.URL != "" {
		return pipeline.LinkKey(d.URL)
	}

	return d.SHA256
}

// publishChange publishes an event of type results.Changed for every job that has an earlier result
// for the sample, and returns their number. It searches RESULTS for these jobs, because changes are
// too rare for an index of jobs.
func (rc *rechecker) publishChange(ctx context.Context, c lateVerdict) (int, error) {
	sub := results.NewSubscriber(rc.Queue.JetStream(), results.SubscriberConfig{
		Prefix: rc.Queue.Prefix(),
		Since:  c.since.Add(-time.Minute),
		Filter: c.earlier,
	})

	published := 0
	err := sub.Drain(ctx, func(ctx context.Context, e results.Event) error {
		if keyOf(e.Data) != c.key {
			return nil
		}
		code := int(c.verdict)
		e.Type = results.Changed
		e.Time = c.at
		e.Data.Verdict = c.verdict.String()
		e.Data.VerdictCode = &code
		e.Data.DecidedAt = c.at
		e.Data.Basis = results.BasisLookup
		e.Data.Error = nil
		published++
		return rc.Queue.Events().Publish(ctx, e)
	})
	if err != nil {
		return published, fmt.Errorf("publish the late verdict on %s: %w", c.key, err)
	}

	return published, nil
}
