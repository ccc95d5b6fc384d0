package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/internal/sink/format"
	"backburn/results"
)

// sinks are those of a node. They are safe for concurrent use.
type sinks struct {
	js     jetstream.JetStream
	prefix string // of the subjects
	log    zerolog.Logger
	reg    prometheus.Registerer
	health *health.Registry

	mu    sync.Mutex
	all   []*oneSink
	start func(*oneSink) // has one run; nil before run, and after it
}

// oneSink is a sink, with what it was made of.
type oneSink struct {
	*sink.Sink

	cfg    config.Sink
	target sink.Target
	stop   context.CancelFunc
	ended  chan struct{} // closed when it stopped
}

// make makes a sink before the others run.
func (s *sinks) make(c config.Sink, target sink.Target) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.makeLocked(c, target)
}

// makeLocked makes a sink, and has it run if the others do.
func (s *sinks) makeLocked(c config.Sink, target sink.Target) error {
	made, err := sink.New(s.js, SinkConfig(s.prefix, c), target, s.log, s.reg)
	if err != nil {
		return err
	}
	s.health.Func("sink", c.Name, func() error { return sinkFault(made.Status()) })
	o := &oneSink{Sink: made, cfg: c, target: target}
	s.all = append(s.all, o)
	if s.start != nil {
		s.start(o)
	}

	return nil
}

// run hands events on until ctx ends or a sink fails for good.
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
	s.start = nil // nothing is made to run from here on
	s.mu.Unlock()

	return group.Wait()
}

// change has those run that a configuration names. A sink that is the same in it is left alone, and
// one that is not goes on with the event at which it stopped.
func (s *sinks) change(to []config.Sink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.start == nil {
		return errors.New("the process is stopping")
	}

	targets := map[string]sink.Target{}
	for _, c := range to {
		if s.unchangedLocked(c) {
			continue
		}
		target, err := SinkTarget(c)
		if err != nil {
			for _, t := range targets {
				_ = t.Close()
			}
			return fmt.Errorf("sink %s: %w", c.Name, err)
		}
		targets[c.Name] = target
	}

	s.all = slices.DeleteFunc(s.all, func(o *oneSink) bool {
		if slices.ContainsFunc(to, func(c config.Sink) bool { return reflect.DeepEqual(c, o.cfg) }) {
			return false
		}
		o.stop()
		<-o.ended
		o.Withdraw()
		s.health.Forget("sink", o.cfg.Name)
		return true
	})
	var failed []error
	for _, c := range to {
		if target := targets[c.Name]; target != nil {
			failed = append(failed, s.makeLocked(c, target))
		}
	}

	return errors.Join(failed...)
}

func (s *sinks) unchangedLocked(c config.Sink) bool {
	return slices.ContainsFunc(s.all, func(o *oneSink) bool { return reflect.DeepEqual(c, o.cfg) })
}

// list returns the sinks of this moment. A nil s has none.
func (s *sinks) list() []*oneSink {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.all)
}

// reopen lets the sinks go of their files.
func (s *sinks) reopen() {
	for _, o := range s.list() {
		if err := o.Reopen(); err != nil {
			s.log.Warn().Err(err).Str("sink", o.cfg.Name).Msg("cannot close a file")
		}
	}
}

// SinkConfig is what a sink reads below a prefix, and how it deals with faults.
func SinkConfig(prefix string, s config.Sink) sink.Config {
	return sink.Config{
		Name:        s.Name,
		Kind:        s.Kind,
		Prefix:      prefix,
		Filter:      results.Filter{Types: eventTypes(s.Types), Outcomes: s.Outcomes, Sources: s.Sources},
		Format:      format.Name(s.Format),
		Product:     cli.ThisBuild().Version,
		DeadFile:    s.DeadFile,
		MaxAttempts: s.MaxAttempts,
		Timeout:     s.Timeout,
	}
}

// SinkTarget makes where a sink of the configuration hands events on to. The caller closes it.
func SinkTarget(c config.Sink) (sink.Target, error) {
	files := sink.TLSFiles{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile}
	switch c.Kind {
	case config.SinkFile:
		mode, err := strconv.ParseUint(c.Mode, 8, 12)
		if err != nil {
			return nil, fmt.Errorf("mode: %w", err)
		}
		return sink.NewFile(sink.FileConfig{
			Path:       c.Path,
			Mode:       fs.FileMode(mode),
			MaxSize:    c.MaxSize,
			MaxBackups: c.MaxBackups,
		}), nil

	case config.SinkSyslog:
		return sink.NewSyslog(sink.SyslogConfig{
			Address:  c.Address,
			Protocol: c.Protocol,
			Facility: slices.Index(config.SyslogFacilities(), c.Facility),
			Format:   format.Name(c.Format),
			TLS:      files,
		})
	}
	return sink.NewWebhook(sink.WebhookConfig{
		URL:         c.URL,
		SecretFile:  c.SecretFile,
		BearerFile:  c.BearerFile,
		HeadersFile: c.HeadersFile,
		TLS:         files,
		UserAgent:   UserAgent,
	})
}

// eventTypes are the types of their short names.
func eventTypes(names []string) []results.Type {
	var types []results.Type
	for _, t := range results.Types() {
		if slices.Contains(names, t.Name()) {
			types = append(types, t)
		}
	}
	return types
}

// sinkFault says how a sink is. One that hands nothing on is no reason to send no work here.
func sinkFault(s sink.Status) error {
	if s.State == sink.StateOK {
		return nil
	}

	return health.Fault{State: health.Degraded, Cause: health.CauseStatus, Reason: s.State + ": " + s.Cause, Remedy: s.Remedy}
}
