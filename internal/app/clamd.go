package app

import (
	"log"

	"backburn/internal/clamd"
	"backburn/internal/config"
	"backburn/internal/judge"
	"backburn/internal/mail"
)

// judge makes what answers for programs that ask and wait.
func (n *Node) judge() *judge.Judge {
	return judge.New(judge.Config{
		Queue:  n.queue,
		Intake: n.publisher(n.queue.Publisher()),
		Memory: n.cfg.Pipeline.Memory,
	})
}

// startClamd opens what speaks clamd's protocol.
func (n *Node) startClamd() error {
	c := n.cfg.Clamd
	mode, err := config.FileMode(c.Mode)
	if err != nil {
		return n.cfg.Problem("clamd.mode", "%s", err)
	}
	s, err := clamd.New(clamd.Config{
		Listen:      c.Listen,
		Mode:        mode,
		Connections: c.MaxConnections,
		Source:      c.Source,
		Priority:    c.Priority,
		Wait:        c.Wait,
		Unknown:     c.Unknown,
		MaxStream:   c.MaxStream,
		Roots:       c.Roots,
		Judge:       n.judge(),
		Guard:       n.guard,
		Log:         n.log.With().Str("component", "clamd").Logger(),
	}, n.reg)
	if err != nil {
		return err
	}
	n.clamd = s
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Str("source", c.Source).Msg("serving the clamd protocol")

	return nil
}

// startMail opens the filter for mail.
func (n *Node) startMail() error {
	c := n.cfg.Mail
	mode, err := config.FileMode(c.Mode)
	if err != nil {
		return n.cfg.Problem("mail.mode", "%s", err)
	}
	s, err := mail.New(mail.Config{
		Listen:      c.Listen,
		Mode:        mode,
		Connections: c.MaxConnections,
		Source:      c.Source,
		Priority:    c.Priority,
		Wait:        c.Wait,
		Malicious:   c.Malicious,
		Unknown:     c.Unknown,
		Header:      c.Header,
		MaxMessage:  c.MaxMessage,
		MaxParts:    c.MaxParts,
		Judge:       n.judge(),
		Log:         n.log.With().Str("component", "mail").Logger(),
	}, n.reg)
	if err != nil {
		return err
	}
	// The milter library writes to the standard logger, and so do others.
	log.SetFlags(0)
	log.SetOutput(n.log.With().Str("component", "mail").Logger())
	n.mail = s
	n.undo = append(n.undo, s.Close)
	n.log.Info().Str("addr", s.Addr().String()).Str("source", c.Source).Msg("filtering mail")

	return nil
}
