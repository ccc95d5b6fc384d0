package worker

import (
	"context"
	"math/rand/v2"

	"backburn/pipeline"
	"backburn/pipeline/poller"
)

// shared is what a Worker, its examiner and its uploader have in common. The poller has the same
// Deps.
type shared struct {
	poller.Deps
	metrics *metrics
}

func (s *shared) config() pipeline.Config { return s.Settings.Current() }

// decide calls pipeline.Decide with the sample's record as d has it, the job, what was learned, and
// the circumstances.
func (s *shared) decide(d *delivery, learned pipeline.News) decision {
	step, sample := pipeline.Decide(d.sample.Sample, d.Job, learned, pipeline.Circumstances{
		Config: s.config(),
		Ruling: d.ruling,
		Self:   s.Member.ID(),
		Random: rand.Float64(),
	}, s.Now())

	return decision{learned, step, sample}
}

// changeSample changes only the sample, and notifies the poller, because jobs may wait for the
// sample.
func (s *shared) changeSample(ctx context.Context, d *delivery, next pipeline.Sample) error {
	if err := s.writeSample(ctx, d, next); err != nil {
		return err
	}
	s.Queue.Ledger().NotifySampleChanged(d.sample.Key)

	return nil
}

// writeSample replaces the sample's record. It returns pipeline.ErrConflict if the record has
// changed since d got it.
func (s *shared) writeSample(ctx context.Context, d *delivery, next pipeline.Sample) error {
	entry := d.sample
	entry.Sample = next
	c := s.Queue.Ledger().SampleUpdate(entry)
	if err := s.Queue.Ledger().Commit(ctx, c); err != nil {
		return err
	}

	d.sample = entry
	d.sample.Revision = c.Revision

	return nil
}

// Tokens says when a token is available; auth.Source implements it.
type Tokens interface {
	// WaitReady returns nil once there is a token or one may be requested. It returns an error if
	// ctx ends first or no token will ever be available.
	WaitReady(ctx context.Context) error
}

// waitForToken waits as long as worker.retry_min says. If tokens is not nil, it then also waits for
// tokens.WaitReady.
func (s *shared) waitForToken(ctx context.Context, tokens Tokens) error {
	if err := pipeline.Sleep(ctx, s.config().RetryMin); err != nil || tokens == nil {
		return err
	}

	return tokens.WaitReady(ctx)
}
