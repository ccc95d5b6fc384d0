package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
)

// shared is what the parts of a worker have in common.
type shared struct {
	q        *queue.Queue
	settings *pipeline.Settings
	log      zerolog.Logger
	metrics  *metrics
	spans    span.Spans
	now      func() time.Time
	member   *fleet.Membership
	pauses   *fleet.Pauses
}

func (s *shared) config() pipeline.Config { return s.settings.Current() }

// decide calls pipeline.Decide with the sample's record as d has it, the job, what was learned, and
// the circumstances.
func (s *shared) decide(d *delivery, learned pipeline.News) decision {
	step, sample := pipeline.Decide(d.sample.Sample, d.Job, learned, pipeline.Circumstances{
		Config: s.config(),
		Ruling: d.ruling,
		Self:   s.member.ID(),
		Random: rand.Float64(),
	}, s.now())

	return decision{learned, step, sample}
}

// changeSample changes only the sample, and notifies the poller, because jobs may wait for the
// sample.
func (s *shared) changeSample(ctx context.Context, d *delivery, next pipeline.Sample) error {
	if err := s.writeSample(ctx, d, next); err != nil {
		return err
	}
	s.q.Ledger().NotifySampleChanged(d.sample.Key)

	return nil
}

// writeSample replaces the sample's record. It returns pipeline.ErrConflict if the record has
// changed since d got it.
func (s *shared) writeSample(ctx context.Context, d *delivery, next pipeline.Sample) error {
	entry := d.sample
	entry.Sample = next
	c := s.q.Ledger().SampleUpdate(entry)
	if err := s.q.Ledger().Commit(ctx, c); err != nil {
		return err
	}

	d.sample = entry
	d.sample.Revision = c.Revision

	return nil
}
