package worker

import (
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

// config is what the worker goes by at this moment.
func (s *shared) config() pipeline.Config { return s.settings.Now() }

// policy returns the policy for Decide.
func (s *shared) policy(d *delivery) pipeline.Policy {
	return pipeline.Policy{Config: s.config(), Ruling: d.ruling, Self: s.member.ID(), Random: rand.Float64()}
}
