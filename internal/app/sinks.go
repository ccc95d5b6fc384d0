package app

import (
	"fmt"
	"slices"
	"time"

	"backburn/internal/config"
	"backburn/internal/sink"
	"backburn/results"
)

// The back-off of webhooks.
const (
	webhookRetryMin = time.Second
	webhookRetryMax = time.Minute
)

// startSinks makes what hands events on.
func (n *Node) startSinks() error {
	for _, c := range n.cfg.Sink {
		cfg := sink.Config{Name: c.Name, Prefix: n.cfg.NATS.Prefix, Filter: results.Filter{
			Types: eventTypes(c.Types), Outcomes: c.Outcomes, Sources: c.Sources,
		}}
		target, err := n.target(c, &cfg)
		if err != nil {
			return fmt.Errorf("sink %s: %w", c.Name, err)
		}
		n.undo = append(n.undo, func() { _ = target.Close() })
		s, err := sink.New(n.queue.JetStream(), cfg, target, n.log, n.reg)
		if err != nil {
			return err
		}
		n.sinks = append(n.sinks, s)
	}
	return nil
}

func (n *Node) target(c config.Sink, cfg *sink.Config) (sink.Target, error) {
	if c.Kind == config.SinkFile {
		return sink.NewFile(sink.FileConfig{Path: c.Path, MaxSize: c.MaxSize, MaxBackups: c.MaxBackups}), nil
	}
	w := sink.WebhookConfig{
		URL: c.URL, SecretFile: c.SecretFile, DeadFile: c.DeadFile, Timeout: c.Timeout, MaxAttempts: c.MaxAttempts,
		RetryMin: webhookRetryMin, RetryMax: webhookRetryMax,
	}
	cfg.AckWait = w.AckWait()
	return sink.NewWebhook(w)
}

// eventTypes are the types of their short names.
func eventTypes(names []string) []results.Type {
	var types []results.Type
	for _, t := range []results.Type{results.Submitted, results.Verdict, results.Failed, results.Changed} {
		if slices.Contains(names, t.Name()) {
			types = append(types, t)
		}
	}
	return types
}
