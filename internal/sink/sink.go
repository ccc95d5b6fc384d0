package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/results"
)

// Target takes events. Send is called by one goroutine at a time. An error means that the event was
// not taken, and will come again.
type Target interface {
	Send(ctx context.Context, e results.Event, body []byte) error
	io.Closer
}

// Config says what a sink reads.
type Config struct {
	Name    string // of the sink; part of its durable
	Prefix  string // nats.prefix
	Filter  results.Filter
	AckWait time.Duration // longer than Send may take
}

// Sink carries events from the stream to a target.
type Sink struct {
	cfg    Config
	sub    *results.Subscriber
	target Target
	log    zerolog.Logger
	sent   prometheus.Counter
	failed prometheus.Counter
}

// New makes a sink, which owns the target from here on. Metrics are registered on reg.
func New(js jetstream.JetStream, cfg Config, target Target, log zerolog.Logger, reg prometheus.Registerer) (*Sink, error) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backburn_sink_events_total", Help: "Events that a sink handed on, and tries that failed.", ConstLabels: prometheus.Labels{"sink": cfg.Name},
	}, []string{"outcome"})
	if err := reg.Register(events); err != nil {
		return nil, fmt.Errorf("sink %s: %w", cfg.Name, err)
	}
	return &Sink{
		cfg: cfg, target: target, log: log.With().Str("component", "sink").Str("sink", cfg.Name).Logger(),
		sent: events.WithLabelValues("sent"), failed: events.WithLabelValues("failed"),
		sub: results.NewSubscriber(js, results.SubscriberConfig{
			// One at a time, so that the time to acknowledge runs for no event that waits for another.
			// A new sink begins with what comes, not with the events of a month.
			Since: time.Now(), Prefix: cfg.Prefix, Durable: "sink-" + cfg.Name, Filter: cfg.Filter, AckWait: cfg.AckWait, Ahead: 1,
		}),
	}, nil
}

// Run hands events on until ctx ends, and then closes the target.
func (s *Sink) Run(ctx context.Context) error {
	defer func() { _ = s.target.Close() }()
	err := s.sub.Run(ctx, func(ctx context.Context, e results.Event) error {
		body, err := json.Marshal(e)
		if err == nil {
			err = s.target.Send(ctx, e, body)
		}
		if err != nil {
			s.failed.Inc()
			if ctx.Err() == nil {
				s.log.Warn().Err(err).Str("event", e.ID()).Msg("an event could not be handed on, it will be tried again")
			}
			return err
		}
		s.sent.Inc()
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("sink %s: %w", s.cfg.Name, err)
}
