package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// sampleWritten takes up a verdict that a worker or a leader wrote.
func (p *Poller) sampleWritten(key string, body []byte) {
	var s pipeline.Sample
	if json.Unmarshal(body, &s) == nil {
		p.note(key, s)
	}
}

// decided takes up a verdict that we wrote.
func (p *Poller) decided(s queue.SampleEntry) { p.note(s.Key, s.Sample) }

func (p *Poller) note(key string, s pipeline.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.rechecks.noted(key, s); len(p.rechecks.queue) == 1 {
		signal(p.wakeAsk) // it may be the next thing to do
	}
}

// rechecked deals with a second answer about a verdict. A change is published before it is
// recorded: should we die in between, it is found again.
func (p *Poller) rechecked(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	s, err := p.Queue.Sample(ctx, key)
	if err != nil || s.State != pipeline.StateVerdict || !r.HasVerdict || !r.Verdict.Final() || int(r.Verdict) == s.Verdict {
		return err
	}
	now := p.Now().UTC().Truncate(time.Second)
	before := wildfire.Verdict(s.Verdict)
	published, err := p.publishChange(ctx, key, before, r.Verdict, s.DecidedAt, now)
	if err != nil {
		return err
	}
	_, err = p.Queue.ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
		if s.State != pipeline.StateVerdict || s.Verdict == int(r.Verdict) {
			return false
		}
		s.Redecide(r.Verdict, r.MD5, now)
		return true
	})
	p.Log.Info().Str("sha256", key).Stringer("from", before).Stringer("verdict", r.Verdict).Int("jobs", published).
		Msg("WildFire changed its mind")
	return err
}

// publishChange publishes a changed event for every job that got the verdict of before. Which
// those are is read from RESULTS: changes are rare, and so nothing is written for them in
// advance.
func (p *Poller) publishChange(ctx context.Context, key string, before, after wildfire.Verdict, since, at time.Time) (int, error) {
	sub := results.NewSubscriber(p.Queue.JetStream(), results.SubscriberConfig{
		Prefix: p.Queue.Prefix(), Since: since.Add(-time.Minute),
		Filter: results.Filter{Types: []results.Type{results.Verdict}, Outcomes: []string{before.String()}},
	})
	published := 0
	err := sub.Drain(ctx, func(ctx context.Context, e results.Event) error {
		if e.Data.SHA256 != key {
			return nil
		}
		code := int(after)
		e.Type = results.Changed
		e.Time = at
		e.Data.Verdict = after.String()
		e.Data.VerdictCode = &code
		e.Data.DecidedAt = at
		e.Data.Basis = results.BasisLookup
		published++
		return p.Queue.PublishEvent(ctx, e)
	})
	if err != nil {
		return published, fmt.Errorf("publish that the verdict on %s changed: %w", key, err)
	}
	return published, nil
}
