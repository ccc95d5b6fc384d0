package app

import (
	"time"

	"backburn/internal/api"
	"backburn/internal/natsconn"
)

// apiGrace is how long submissions in progress may take when a process stops.
const apiGrace = 10 * time.Second

// startAPI opens the HTTP API.
func (n *Node) startAPI() error {
	s, err := api.New(n.cfg.API, api.Deps{
		Ready:    natsconn.Ready(n.nc),
		Intake:   n.guarded(n.queue.CheckingPublisher()),
		Queue:    n.queue,
		Registry: n.reg,
		Log:      n.log.With().Str("component", "api").Logger(),
	})
	if err != nil {
		return err
	}

	n.api = s
	n.intakes = append(n.intakes, s)
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Int("tokens", len(n.cfg.API.Tokens)).Msg("serving the HTTP API")

	return nil
}

// APIAddr returns the address of the HTTP API, or "" if it is off.
func (n *Node) APIAddr() string {
	if n.api == nil {
		return ""
	}

	return n.api.Addr().String()
}
