package app

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/internal/sink/format"
	"backburn/results"
)

// startSinks makes what hands events on.
func (n *Node) startSinks() error {
	for _, c := range n.cfg.Sink {
		target, err := SinkTarget(c)
		if err != nil {
			return fmt.Errorf("sink %s: %w", c.Name, err)
		}
		n.undo = append(n.undo, func() { _ = target.Close() })
		s, err := sink.New(n.queue.JetStream(), SinkConfig(n.cfg, c), target, n.log, n.reg)
		if err != nil {
			return err
		}
		n.sinks = append(n.sinks, s)
		n.health.Func("sink", c.Name, func() error { return sinkFault(s.Status()) })
	}
	return nil
}

// SinkConfig is what a sink of the configuration reads, and how it deals with faults.
func SinkConfig(c config.Config, s config.Sink) sink.Config {
	return sink.Config{
		Name:        s.Name,
		Kind:        s.Kind,
		Prefix:      c.NATS.Prefix,
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

// reopenOnHangup lets the sinks go of their files at each SIGHUP, until ctx ends.
func (n *Node) reopenOnHangup(ctx context.Context, hangups <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			for _, s := range n.sinks {
				if err := s.Reopen(); err != nil {
					n.log.Warn().Err(err).Str("sink", s.Status().Name).Msg("cannot close a file")
				}
			}
			n.log.Info().Msg("SIGHUP: reopened the files of sinks; secrets are read at each use, the configuration only at a start")
		}
	}
}

// sinkFault says how a sink is. One that hands nothing on is no reason to send no work here.
func sinkFault(s sink.Status) error {
	if s.State == sink.StateOK {
		return nil
	}

	return health.Fault{State: health.Degraded, Cause: health.CauseStatus, Reason: s.State + ": " + s.Cause, Remedy: s.Remedy}
}
