package mail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/judge"
	"backburn/internal/local"
	"backburn/pipeline"
)

// What becomes of a mail with something malicious.
const (
	MaliciousReject     = "reject"
	MaliciousQuarantine = "quarantine"
	MaliciousHeader     = "header"
)

// What becomes of a mail without a verdict on everything.
const (
	UnknownAccept   = "accept"
	UnknownTempfail = "tempfail"
)

// Config is what a Server is made with. Every field is required.
type Config struct {
	Listen      string      // see local.Valid
	Mode        fs.FileMode // of a unix socket
	Connections int         // at a time
	Source      string      // that attachments are submitted under
	Priority    pipeline.Priority
	Wait        time.Duration // for verdicts; 0: not at all
	Malicious   string        // MaliciousReject, MaliciousQuarantine or MaliciousHeader
	Unknown     string        // UnknownAccept or UnknownTempfail
	Header      string        // name of the header that tells the outcome
	MaxMessage  int64         // in bytes
	MaxParts    int           // attachments of a mail
	Judge       *judge.Judge
	Log         zerolog.Logger
}

// Server is a listener that is open already. Run serves it.
type Server struct {
	cfg      Config
	listener *local.Listener
	mails    *prometheus.CounterVec

	ending context.Context //nolint:containedctx // ends those who wait
	end    context.CancelFunc
	life   context.Context //nolint:containedctx // ends all that is under way
	kill   context.CancelFunc
}

// The values of the label "outcome".
const (
	outcomeNone      = "none"      // no attachment
	outcomeClean     = "clean"     // verdicts, none of them malicious
	outcomeMalicious = "malicious" // at least one malicious verdict
	outcomeUnknown   = "unknown"   // not all verdicts
	outcomeRefused   = "refused"   // too large, or too many attachments
	outcomeError     = "error"     // refused for now
)

// New listens. It serves nothing before Run; whoever does not call Run calls Close. Its error
// matches local.ErrListen where the address cannot be had.
func New(cfg Config, reg prometheus.Registerer) (*Server, error) {
	l, err := local.Listen(local.Config{Address: cfg.Listen, Mode: cfg.Mode, Limit: cfg.Connections})
	if err != nil {
		return nil, fmt.Errorf("mail.listen: %w", err)
	}

	s := &Server{cfg: cfg, listener: l}
	s.life, s.kill = context.WithCancel(context.Background()) //nolint:gosec // Serve calls it
	s.ending, s.end = context.WithCancel(s.life)
	s.mails = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backburn_mail_messages_total",
		Help: "Mails that were filtered: none without attachments, clean, malicious, unknown without all verdicts, refused by their bounds, error where they could not be submitted.",
	}, []string{"outcome"})
	for _, o := range []string{outcomeNone, outcomeClean, outcomeMalicious, outcomeUnknown, outcomeRefused, outcomeError} {
		s.mails.WithLabelValues(o)
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_mail_connections", Help: "Connections of mail servers that are open.",
	}, func() float64 { return float64(l.Open()) })
	if err := errors.Join(reg.Register(s.mails), reg.Register(open)); err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, and ends those who wait. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
}

// The times that a mail server is given. It is silent while its own client is.
const (
	readTimeout  = 10 * time.Minute
	writeTimeout = 30 * time.Second
)

// timed is a connection whose deadlines move with what comes and goes.
type timed struct {
	net.Conn
	closed func()
}

func (c *timed) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Read(b)
}

func (c *timed) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Write(b)
}

// Close is called once: by the library, after its last call of the session.
func (c *timed) Close() error {
	err := c.Conn.Close()
	c.closed()

	return err
}
