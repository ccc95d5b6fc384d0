package app

import (
	"context"
	"time"

	"backburn/internal/api"
	"backburn/results"
)

// doorGrace is what submissions in hand get when a process stops.
const doorGrace = 10 * time.Second

// startDoor opens the HTTP door.
func (n *Node) startDoor() error {
	c := n.cfg.Door
	d, err := api.New(api.Config{
		Listen: c.Listen, TokenFile: c.TokenFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
		Source: c.Source, Priority: c.Priority, MaxFileSize: c.MaxFileSize.Bytes(),
		Intake: n.queue.Once().Traced(n.traces), Queue: n.queue, Follow: n.follow,
		Log: n.log.With().Str("component", "door").Logger(),
	})
	if err != nil {
		return err
	}
	n.door = d
	n.undo = append(n.undo, d.Close)
	n.log.Info().Str("addr", d.Addr().String()).Str("source", c.Source).Msg("the door is open")
	return nil
}

// follow hands on the events of the door's source.
func (n *Node) follow(ctx context.Context, since time.Time, handle results.Handler) error {
	return results.NewSubscriber(n.queue.JetStream(), results.SubscriberConfig{
		Prefix: n.queue.Prefix(), Since: since, Filter: results.Filter{Sources: []string{n.cfg.Door.Source}},
	}).Run(ctx, handle)
}

// DoorAddr is where the door listens; "" for nowhere.
func (n *Node) DoorAddr() string {
	if n.door == nil {
		return ""
	}
	return n.door.Addr().String()
}
