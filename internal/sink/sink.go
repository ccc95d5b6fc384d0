package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/internal/sink/format"
	"backburn/pipeline"
	"backburn/results"
)

// Target accepts events. Send makes one attempt; only one goroutine at a time calls it. An error,
// which may be a *Fault, means that the event was not accepted.
type Target interface {
	Send(ctx context.Context, m Message) error
	io.Closer
}

// NewTarget creates the target of a sink. The caller closes it.
func NewTarget(cfg Config) (Target, error) {
	switch cfg.Kind {
	case KindFile:
		return NewFile(cfg)
	case KindSyslog:
		return NewSyslog(cfg)
	}

	return NewWebhook(cfg)
}

func (c Config) durableName() string { return "sink-" + c.Name }

// Sink delivers events from the stream to a target.
type Sink struct {
	cfg     Config
	js      jetstream.JetStream
	sub     *results.Subscriber
	target  Target
	dead    *deadFile // nil if there is none
	log     zerolog.Logger
	reg     prometheus.Registerer
	metrics *metrics
	state   state // for Status
}

// keepAlive is the interval at which a sink extends the server's AckWait for the event that it is
// processing.
const keepAlive = 10 * time.Second

// New creates a sink. The caller closes target unless it calls Run. New does not register the
// metrics, so that a sink can be created while another one with its name runs; RegisterMetrics
// does.
func New(js jetstream.JetStream, cfg Config, target Target, log zerolog.Logger, reg prometheus.Registerer) (*Sink, error) {
	s := &Sink{
		cfg:    cfg,
		js:     js,
		target: target,
		log:    log.With().Str("component", "sink").Str("sink", cfg.Name).Logger(),
		reg:    reg,
		sub: results.NewSubscriber(js, results.SubscriberConfig{
			// A new sink starts with new events, not with those of the past month.
			Since:   time.Now(),
			Prefix:  cfg.Prefix,
			Durable: cfg.durableName(),
			Filter:  cfg.filter(),
			AckWait: cfg.Timeout + 3*keepAlive,
			Ahead:   1,
			InOrder: true,
			Update:  true, // a reload may change the filter
		}),
	}
	var err error
	if s.dead, err = openDeadFile(cfg.DeadFile); err != nil {
		return nil, fmt.Errorf("sink %s: dead_file: %w", cfg.Name, err)
	}
	s.metrics = newMetrics(cfg.Name, &s.state)
	s.state.begin(cfg)

	return s, nil
}

// Run delivers events until ctx ends, and then closes the target.
func (s *Sink) Run(ctx context.Context) error {
	defer func() { _ = s.target.Close() }()
	for attempt := 0; ; attempt++ {
		err := s.sub.RunRaw(ctx, s.deliver)
		if ctx.Err() != nil {
			return nil
		}

		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound): // somebody has just removed it; a worker creates it again
			s.log.Warn().Err(err).Msg("the stream of events is missing; retrying")
		case jets.Is(err, jets.Unavailable):
			s.log.Warn().Err(err).Msg("NATS does not answer; retrying")
		default:
			return fmt.Errorf("sink %s: %w", s.cfg.Name, err)
		}

		if pipeline.Sleep(ctx, backoff.Delay(attempt, streamRetryMin, streamRetryMax)) != nil {
			return nil
		}
	}
}

// Delays while the stream is missing or NATS does not answer.
const (
	streamRetryMin = 200 * time.Millisecond
	streamRetryMax = 10 * time.Second
)

// RegisterMetrics registers the sink's metrics. It returns an error while those of another sink
// with its name are registered.
func (s *Sink) RegisterMetrics() error {
	if err := s.reg.Register(s.metrics); err != nil {
		return fmt.Errorf("sink %s: %w", s.cfg.Name, err)
	}

	return nil
}

// UnregisterMetrics unregisters the sink's metrics, so that another sink with its name can register
// its own. Call it only after Run has returned.
func (s *Sink) UnregisterMetrics() { s.reg.Unregister(s.metrics) }

// Status returns the state of the sink. It is safe for concurrent use.
func (s *Sink) Status() Status { return s.state.get() }

// Reopen releases the files that the target has open, for example one that was renamed. It is safe
// for concurrent use.
func (s *Sink) Reopen() error {
	if r, ok := s.target.(interface{ Reopen() error }); ok {
		return r.Reopen()
	}

	return nil
}

// deliver sends one event, and retries until the event is accepted or dead-lettered. If it returns
// an error, the event stays in the stream.
func (s *Sink) deliver(ctx context.Context, d results.Delivery) error {
	m, err := newMessage(d.Body, s.cfg.Format, s.cfg.Version)
	if err != nil {
		s.metrics.skipped.Inc()
		s.state.setBehind(d.Pending)
		if errors.Is(err, format.ErrUnknown) {
			s.log.Debug().Uint64("sequence", d.Sequence).Err(err).Msg("skipped an event that the format cannot express")
		} else {
			s.log.Error().Uint64("sequence", d.Sequence).Err(err).Msg("skipped a message that is not an event")
		}
		return nil
	}
	s.state.startEvent(m.ID, d.Pending+1)

	failing := 0
	for attempt := 1; ; attempt++ {
		_ = d.InProgress() // if the server is unreachable, it will redeliver the event
		err := s.send(ctx, m)
		if err == nil {
			s.metrics.sent.Inc()
			s.finished(d.Pending)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f := asFault(err)
		s.metrics.failed[f.Kind].Inc()
		if f.Kind == Failing {
			failing++
		}
		if s.dead != nil && (f.Kind == Refused || f.Kind == Failing && failing >= s.cfg.MaxAttempts) {
			deadErr := s.dead.add(deadLetter{Time: time.Now().UTC(), Attempts: attempt, Error: f.Error(), Event: m.Event})
			if deadErr == nil {
				s.metrics.dead.Inc()
				s.log.Error().Err(f).Str("event", m.ID).Int("attempts", attempt).Str("dead_file", s.cfg.DeadFile).
					Msg("event rejected and written to dead_file; `backburn sink replay NAME --dead` delivers it again")
				s.finished(d.Pending)
				return nil
			}
			f = fileFault(deadErr)
			f.Err = fmt.Errorf("dead_file: %w", deadErr)
			f.Remedy = "free space for dead_file, or make it writable"
		}
		s.reportFault(f, m, attempt)
		s.updateBehind(ctx)
		if !s.pause(ctx, s.retryDelay(f, attempt), d) {
			return ctx.Err()
		}
	}
}

func (s *Sink) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return s.target.Send(ctx, m)
}

// retryDelay returns the delay after an attempt; the first attempt has the number 1.
func (s *Sink) retryDelay(f *Fault, attempt int) time.Duration {
	d := backoff.Delay(attempt-1, s.cfg.RetryMin, s.cfg.RetryMax)
	if f.Kind == Misconfigured || f.Kind == Refused {
		d = s.cfg.Pause
	}

	return max(d, f.RetryAfter)
}

// pause waits for d, and keeps the delivery in progress meanwhile. It returns false if ctx ends
// first.
func (s *Sink) pause(ctx context.Context, d time.Duration, delivery results.Delivery) bool {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return ctx.Err() == nil
		}
		if pipeline.Sleep(ctx, min(left, keepAlive)) != nil {
			return false
		}
		_ = delivery.InProgress()
	}
}

// reportFault records a fault, and logs it at intervals.
func (s *Sink) reportFault(f *Fault, m Message, attempt int) {
	if !s.state.recordFault(f, attempt, s.cfg.WarnEvery) {
		return
	}
	msg := "cannot deliver events; they are kept and retried"
	if f.Kind == Misconfigured {
		msg = "the receiver or the sink is misconfigured; the sink is paused and keeps its events"
	}
	s.log.Warn().Err(f).Str("event", m.ID).Int("attempts", attempt).Str("remedy", f.Remedy).Msg(msg)
}

// statusTimeout limits a request to NATS for the consumer's state.
const statusTimeout = 5 * time.Second

// updateBehind updates the number of pending events in the status.
func (s *Sink) updateBehind(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	c, err := s.js.Consumer(ctx, strings.ToUpper(s.cfg.Prefix)+"_RESULTS", s.cfg.durableName())
	if err != nil {
		return // keep the previous number
	}
	info := c.CachedInfo()
	s.state.setBehind(info.NumPending + uint64(info.NumAckPending))
}

// finished records that an event was delivered or dead-lettered, and logs the end of a fault.
func (s *Sink) finished(behind uint64) {
	if since, recovered := s.state.recordSuccess(behind); recovered {
		s.log.Info().Stringer("took", time.Since(since).Round(time.Millisecond)).Msg("events are delivered again")
	}
}
