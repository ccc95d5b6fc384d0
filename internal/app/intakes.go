package app

import (
	"log"
	"time"

	"backburn/internal/api"
	"backburn/internal/clamd"
	"backburn/internal/judge"
	"backburn/internal/mail"
	"backburn/internal/natsconn"
)

// intakeGrace is how long submissions in progress may take when a process stops.
const intakeGrace = 10 * time.Second

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

// APIAddr returns the address of the HTTP API, which must be on.
func (n *Node) APIAddr() string { return n.api.Addr().String() }

// newJudge returns the Judge for programs that submit a file and wait for the verdict.
func (n *Node) newJudge() *judge.Judge {
	return judge.New(judge.Config{
		Ledger:        n.queue.Ledger(),
		Intake:        n.guarded(n.queue.Publisher()),
		ReuseDuration: n.cfg.Pipeline.ReuseDuration,
	})
}

func (n *Node) startClamd() error {
	c := n.cfg.Clamd
	s, err := clamd.New(c, clamd.Deps{
		Judge:    n.newJudge(),
		Guard:    n.guard,
		Registry: n.reg,
		Log:      n.log.With().Str("component", "clamd").Logger(),
	})
	if err != nil {
		return err
	}

	n.intakes = append(n.intakes, s)
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Str("source", c.Source).Msg("serving the clamd protocol")

	return nil
}

func (n *Node) startMail() error {
	c := n.cfg.Mail
	l := n.log.With().Str("component", "mail").Logger()
	s, err := mail.New(c, mail.Deps{Judge: n.newJudge(), Registry: n.reg, Log: l})
	if err != nil {
		return err
	}

	// The milter library and others write to the standard logger.
	log.SetFlags(0)
	log.SetOutput(l)
	n.intakes = append(n.intakes, s)
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Str("source", c.Source).Msg("filtering mail")

	return nil
}
