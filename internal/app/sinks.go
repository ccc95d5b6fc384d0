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
	prefix string // first token of the NATS subjects
	log    zerolog.Logger
	reg    prometheus.Registerer
	health *health.Registry

	mu      sync.Mutex
	all     []*managedSink
	start   func(*managedSink) // starts a sink; nil before and after run
	stopped bool               // run has ended or is ending, so no sink is started
}

// managedSink is a sink with its configuration. It can be started and stopped alone.
type managedSink struct {
	*sink.Sink

	cfg    sink.Config
	target sink.Target
	stop   context.CancelFunc // nil before the sink runs
	done   chan struct{}      // closed when the sink has stopped
}

func (m *managedSink) end() {
	if m.stop == nil {
		_ = m.target.Close()
		return
	}
	m.stop()
	<-m.done
}

// createAll creates sinks without starting them: all of them, or none.
func (s *sinks) createAll(list []sink.Config) ([]*managedSink, error) {
	var all []*managedSink
	for _, c := range list {
		m, err := s.create(c)
		if err != nil {
			closeTargets(all)
			return nil, err
		}

		all = append(all, m)
	}

	return all, nil
}

func (s *sinks) create(c sink.Config) (*managedSink, error) {
	complete := SinkConfig(s.prefix, c)
	target, err := sink.NewTarget(complete)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", c.Name, err)
	}

	created, err := sink.New(s.js, complete, target, s.log, s.reg)
	if err != nil {
		_ = target.Close()
		return nil, err
	}

	return &managedSink{Sink: created, cfg: c, target: target}, nil
}

// closeTargets closes the targets of sinks that never ran.
func closeTargets(all []*managedSink) {
	for _, m := range all {
		_ = m.target.Close()
	}
}

// add adds new sinks before run is called.
func (s *sinks) add(created []*managedSink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range created {
		if err := m.RegisterMetrics(); err != nil {
			return err
		}
		s.addLocked(m)
	}

	return nil
}

// addLocked adds a sink, and starts it if the other sinks run. s.mu is held.
func (s *sinks) addLocked(m *managedSink) {
	s.health.Func("sink", m.cfg.Name, func() error { return sinkFault(m.Status()) })
	s.all = append(s.all, m)
	if s.start != nil {
		s.start(m)
	}
}

// run runs the sinks until ctx ends or one of them fails permanently.
func (s *sinks) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(m *managedSink) {
		sinkCtx, stop := context.WithCancel(ctx)
		m.stop = stop
		m.done = make(chan struct{})
		group.Go(func() error {
			defer close(m.done)
			defer stop()

			return m.Run(sinkCtx)
		})
	}
	s.mu.Lock()
	s.start = start
	for _, m := range s.all {
		start(m)
	}

	s.mu.Unlock()

	<-ctx.Done()
	s.mu.Lock()
	s.start = nil
	s.stopped = true
	s.mu.Unlock()

	return group.Wait()
}

// prepare creates the sinks that are new or changed, without affecting the running ones. The caller
// applies the change, which can no longer fail, or drops it, before it prepares another one.
func (s *sinks) prepare(configs []sink.Config) (apply, drop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	created, err := s.createAll(slices.DeleteFunc(slices.Clone(configs), s.unchangedLocked))
	if err != nil {
		return nil, nil, err
	}

	return func() { s.change(configs, created) }, func() { closeTargets(created) }, nil
}

// change stops the sinks that are not among configs, and starts the created ones. A changed sink
// continues with the event at which it stopped. If run has ended, the created sinks are closed.
func (s *sinks) change(configs []sink.Config, created []*managedSink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		closeTargets(created)
		return
	}

	s.all = slices.DeleteFunc(s.all, func(m *managedSink) bool {
		if slices.ContainsFunc(configs, func(cfg sink.Config) bool { return reflect.DeepEqual(cfg, m.cfg) }) {
			return false
		}

		m.end()
		m.UnregisterMetrics()
		s.health.Remove("sink", m.cfg.Name)

		return true
	})
	for _, m := range created {
		if err := m.RegisterMetrics(); err != nil { // the replaced sink of this name has unregistered its own
			s.log.Error().Err(err).Str("sink", m.cfg.Name).Msg("cannot register metrics; the sink runs without them")
		}

		s.addLocked(m)
	}
}

// unchangedLocked reports whether a sink with this configuration exists. s.mu is held.
func (s *sinks) unchangedLocked(c sink.Config) bool {
	return slices.ContainsFunc(s.all, func(m *managedSink) bool { return reflect.DeepEqual(c, m.cfg) })
}

// list returns the current sinks. s may be nil and then has none.
func (s *sinks) list() []*managedSink {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.all)
}

// reopen makes the sinks close their files; each opens its file again for the next event.
func (s *sinks) reopen() {
	for _, m := range s.list() {
		if err := m.Reopen(); err != nil {
			s.log.Warn().Err(err).Str("sink", m.cfg.Name).Msg("cannot close the file of a sink")
		}
	}
}

// SinkConfig sets the fields of a sink's configuration that have no keys.
func SinkConfig(prefix string, c sink.Config) sink.Config {
	c.Prefix = prefix
	c.Version = cli.ThisBuild().Version
	c.UserAgent = UserAgent

	return c
}

// sinkFault returns nil for a sink that works, and otherwise a fault. A failing sink only degrades
// the process.
func sinkFault(s sink.Status) error {
	if s.State == sink.StateOK {
		return nil
	}

	return health.Fault{State: health.Degraded, Cause: s.Class, Reason: s.State + ": " + s.Cause, Remedy: s.Remedy}
}
