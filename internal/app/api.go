package app

import (
	"context"
	"time"

	"backburn/internal/api"
	"backburn/results"
)

// apiGrace is what submissions in hand get when a process stops.
const apiGrace = 10 * time.Second

// startAPI opens the HTTP API.
func (n *Node) startAPI() error {
	c := n.cfg.API
	s, err := api.New(api.Config{
		Listen: c.Listen, TokenFile: c.TokenFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
		Source: c.Source, Priority: c.Priority, MaxFileSize: c.MaxFileSize,
		Intake: n.queue.Once().Traced(n.traces), Queue: n.queue, Follow: n.follow,
		Log: n.log.With().Str("component", "api").Logger(),
	})
	if err != nil {
		return err
	}
	n.api = s
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Str("source", c.Source).Msg("serving the HTTP API")
	return nil
}

// follow hands on the events of the API's source.
func (n *Node) follow(ctx context.Context, since time.Time, handle results.Handler) error {
	return results.NewSubscriber(n.queue.JetStream(), results.SubscriberConfig{
		Prefix: n.queue.Prefix(), Since: since, Filter: results.Filter{Sources: []string{n.cfg.API.Source}},
	}).Run(ctx, handle)
}

// APIAddr is where the HTTP API listens; "" for nowhere.
func (n *Node) APIAddr() string {
	if n.api == nil {
		return ""
	}
	return n.api.Addr().String()
}
