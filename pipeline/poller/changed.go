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

// decided takes up a verdict that we wrote.
func (p *Poller) decided(s queue.SampleEntry) { p.note(s.Key, s.Sample) }

func (p *Poller) note(key string, s pipeline.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.rechecks.update(key, s); len(p.rechecks.queue) == 1 {
		signal(p.wakeAsk) // it may be the next thing to do
	}
}

// rechecked deals with a second answer about a verdict, or about a sample that the policy keeps
// here.
func (p *Poller) rechecked(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	s, err := p.Queue.Sample(ctx, key)
	switch {
	case err != nil:
		return err
	case s.State == pipeline.StateNone && !s.WithheldAt.IsZero():
		return p.recheckedWithheld(ctx, key, r)
	case s.State != pipeline.StateVerdict || !r.HasVerdict || !r.Verdict.Final() || int(r.Verdict) == s.Verdict:
		return nil
	}

	return p.changed(ctx, s, r)
}

// changed publishes that WildFire changed its mind. That is done before it is recorded: should we
// die in between, it is found again.
func (p *Poller) changed(ctx context.Context, s queue.SampleEntry, r wildfire.VerdictRecord) error {
	now := p.Now().UTC().Truncate(time.Second)
	before := wildfire.Verdict(s.Verdict)
	change := change{
		key:     s.Key,
		told:    results.Filter{Types: []results.Type{results.Verdict}, Outcomes: []string{before.String()}},
		since:   s.DecidedAt,
		verdict: r.Verdict,
		at:      now,
	}
	published, err := p.publishChange(ctx, change)
	if err != nil {
		return err
	}

	_, err = p.Queue.ChangeSample(ctx, s.Key, func(s *pipeline.Sample) bool {
		if s.State != pipeline.StateVerdict || s.Verdict == int(r.Verdict) {
			return false
		}
		s.Redecide(r.Verdict, r.MD5, now)
		return true
	})
	p.Log.Info().Str("sha256", s.Key).Stringer("from", before).Stringer("verdict", r.Verdict).Int("jobs", published).
		Msg("WildFire changed its mind")

	return err
}

// recheckedWithheld notes what WildFire says of a withheld sample. Where that is nothing, it is
// asked again for as long as those who were told "withheld" can be told more.
func (p *Poller) recheckedWithheld(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	_, err := p.Queue.ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
		if s.State != pipeline.StateNone || s.WithheldAt.IsZero() {
			return false
		}
		verdict := wildfire.Unknown
		if r.HasVerdict {
			verdict = r.Verdict
		}
		decided := s.Recheck(verdict, r.MD5, p.Now())
		return decided || p.Now().Sub(s.WithheldAt) < p.Queue.ResultsMaxAge()
	})

	return err
}

// publishWithheld publishes a verdict to those whose jobs ended as withheld before there was one.
func (p *Poller) publishWithheld(ctx context.Context, key string, s pipeline.Sample) {
	published, err := p.publishChange(ctx, change{
		key:     key,
		told:    results.Filter{Types: []results.Type{results.Failed}, Outcomes: []string{string(results.Withheld)}},
		since:   s.WithheldAt,
		verdict: wildfire.Verdict(s.Verdict),
		at:      s.DecidedAt.UTC().Truncate(time.Second),
	})
	if err == nil {
		_, err = p.Queue.ChangeSample(ctx, key, func(s *pipeline.Sample) bool {
			told := s.State == pipeline.StateVerdict && !s.WithheldAt.IsZero()
			s.WithheldAt = time.Time{}
			return told
		})
	}

	switch {
	case err == nil:
		p.Log.Info().Str("sha256", key).Stringer("verdict", wildfire.Verdict(s.Verdict)).Int("jobs", published).
			Msg("there is a verdict on withheld contents")
	case ctx.Err() == nil:
		p.Log.Warn().Err(err).Str("sha256", key).Msg("cannot publish the verdict on withheld contents; the next leader retries")
	}
}

// change is a verdict that comes after jobs ended.
type change struct {
	key     string
	told    results.Filter // what those jobs were told
	since   time.Time      // when the first of them was
	verdict wildfire.Verdict
	at      time.Time
}

// keyOf is the key of the sample that an event is about.
func keyOf(d results.Data) string {
	if d.URL != "" {
		return pipeline.LinkKey(d.URL)
	}

	return d.SHA256
}

// publishChange publishes a changed event for every job that was told something else about a
// sample. Which those are is read from RESULTS: changes are rare, and so nothing is written for
// them in advance.
func (p *Poller) publishChange(ctx context.Context, c change) (int, error) {
	sub := results.NewSubscriber(p.Queue.JetStream(), results.SubscriberConfig{
		Prefix: p.Queue.Prefix(),
		Since:  c.since.Add(-time.Minute),
		Filter: c.told,
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
		return p.Queue.PublishEvent(ctx, e)
	})
	if err != nil {
		return published, fmt.Errorf("publish that the verdict on %s changed: %w", c.key, err)
	}

	return published, nil
}
