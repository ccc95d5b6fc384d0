package app

import (
	"log"

	"backburn/internal/clamd"
	"backburn/internal/judge"
	"backburn/internal/mail"
)

// newJudge returns the Judge for programs that submit a file and wait for the verdict.
func (n *Node) newJudge() *judge.Judge {
	return judge.New(judge.Config{
		Ledger:        n.queue.Ledger(),
		Intake:        n.guarded(n.queue.Publisher()),
		ReuseDuration: n.cfg.Pipeline.ReuseDuration,
	})
}

// startClamd starts the server for clamd's protocol.
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

// startMail starts the mail filter.
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
