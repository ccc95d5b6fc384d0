package app

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/internal/cli"
	"backburn/internal/health"
	"backburn/internal/sink"
)

// sinks are the sinks of a node. They are safe for concurrent use.
type sinks struct {
	js     jetstream.JetStream
	prefix string // of the subjects
	log    zerolog.Logger
	reg    prometheus.Registerer
	health *health.Registry

	mu    sync.Mutex
	all   []*oneSink
	start func(*oneSink) // starts a sink; nil before and after run
	ended bool           // run is ending: no sink is started
}

// oneSink is a sink with its configuration.
type oneSink struct {
	*sink.Sink

	cfg    sink.Config
	target sink.Target
	stop   context.CancelFunc // nil before it runs
	ended  chan struct{}      // closed when it stopped
}

// end stops the sink, and returns when it delivers no more events.
func (o *oneSink) end() {
	if o.stop == nil {
		_ = o.target.Close()
		return
	}
	o.stop()
	<-o.ended
}

// makeAll creates sinks without starting them: all of them, or none.
func (s *sinks) makeAll(list []sink.Config) ([]*oneSink, error) {
	var all []*oneSink
	for _, c := range list {
		o, err := s.make(c)
		if err != nil {
			closeTargets(all)
			return nil, err
		}

		all = append(all, o)
	}

	return all, nil
}

func (s *sinks) make(c sink.Config) (*oneSink, error) {
	full := SinkConfig(s.prefix, c)
	target, err := sink.NewTarget(full)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", c.Name, err)
	}

	made, err := sink.New(s.js, full, target, s.log, s.reg)
	if err != nil {
		_ = target.Close()
		return nil, err
	}

	return &oneSink{Sink: made, cfg: c, target: target}, nil
}

// closeTargets closes the targets of sinks that never ran.
func closeTargets(all []*oneSink) {
	for _, o := range all {
		_ = o.target.Close()
	}
}

// add adds new sinks before run is called.
func (s *sinks) add(made []*oneSink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range made {
		if err := o.RegisterMetrics(); err != nil {
			return err
		}
		s.addLocked(o)
	}

	return nil
}

// addLocked adds a sink, and starts it if the others run.
func (s *sinks) addLocked(o *oneSink) {
	s.health.Func("sink", o.cfg.Name, func() error { return sinkFault(o.Status()) })
	s.all = append(s.all, o)
	if s.start != nil {
		s.start(o)
	}
}

// run delivers events until ctx ends or a sink fails permanently.
func (s *sinks) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(o *oneSink) {
		octx, stop := context.WithCancel(ctx)
		o.stop = stop
		o.ended = make(chan struct{})
		group.Go(func() error {
			defer close(o.ended)
			defer stop()

			return o.Run(octx)
		})
	}
	s.mu.Lock()
	s.start = start
	for _, o := range s.all {
		start(o)
	}

	s.mu.Unlock()

	<-ctx.Done()
	s.mu.Lock()
	s.start = nil
	s.ended = true
	s.mu.Unlock()

	return group.Wait()
}

// sinkChange is a prepared change of the sinks that can no longer fail.
type sinkChange struct {
	sinks *sinks
	to    []sink.Config
	made  []*oneSink // do not run yet
}

// prepare creates the sinks that are new or changed, without affecting the running ones. The caller
// applies or drops the change before it prepares another one.
func (s *sinks) prepare(to []sink.Config) (*sinkChange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	made, err := s.makeAll(slices.DeleteFunc(slices.Clone(to), s.unchangedLocked))
	if err != nil {
		return nil, err
	}

	return &sinkChange{sinks: s, to: to, made: made}, nil
}

// drop discards the change.
func (c *sinkChange) drop() { closeTargets(c.made) }

// apply runs the configured sinks. An unchanged sink is not touched, and a changed one continues
// with the event at which it stopped. In a stopping process it does nothing.
func (c *sinkChange) apply() {
	s := c.sinks
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		c.drop()
		return
	}

	s.all = slices.DeleteFunc(s.all, func(o *oneSink) bool {
		if slices.ContainsFunc(c.to, func(to sink.Config) bool { return reflect.DeepEqual(to, o.cfg) }) {
			return false
		}

		o.end()
		o.UnregisterMetrics()
		s.health.Remove("sink", o.cfg.Name)

		return true
	})
	for _, o := range c.made {
		if err := o.RegisterMetrics(); err != nil { // the old sink of this name has unregistered
			s.log.Error().Err(err).Msg("a sink runs without metrics")
		}

		s.addLocked(o)
	}
}

func (s *sinks) unchangedLocked(c sink.Config) bool {
	return slices.ContainsFunc(s.all, func(o *oneSink) bool { return reflect.DeepEqual(c, o.cfg) })
}

// list returns the current sinks. A nil s has none.
func (s *sinks) list() []*oneSink {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.all)
}

// reopen makes the sinks reopen their files.
func (s *sinks) reopen() {
	for _, o := range s.list() {
		if err := o.Reopen(); err != nil {
			s.log.Warn().Err(err).Str("sink", o.cfg.Name).Msg("cannot close a file")
		}
	}
}

// SinkConfig completes the configuration of a sink with what has no keys.
func SinkConfig(prefix string, c sink.Config) sink.Config {
	c.Prefix = prefix
	c.Product = cli.ThisBuild().Version
	c.UserAgent = UserAgent

	return c
}

// sinkFault returns the health of a sink. A failing sink only degrades the process.
func sinkFault(s sink.Status) error {
	if s.State == sink.StateOK {
		return nil
	}

	return health.Fault{State: health.Degraded, Cause: health.CauseStatus, Reason: s.State + ": " + s.Cause, Remedy: s.Remedy}
}
