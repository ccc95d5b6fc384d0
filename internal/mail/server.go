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

// Actions for a mail with a malicious attachment.
const (
	MaliciousReject     = "reject"
	MaliciousQuarantine = "quarantine"
	MaliciousHeader     = "header"
)

// Actions for a mail that has attachments without a verdict.
const (
	UnknownAccept   = "accept"
	UnknownTempfail = "tempfail"
)

// Config configures a Server. All fields are required.
type Config struct {
	Listen      string      // see local.Valid
	Mode        fs.FileMode // of a Unix socket
	Connections int         // maximum number at a time
	Source      string      // for submitted attachments
	Priority    pipeline.Priority
	Wait        time.Duration // for verdicts; 0 does not wait
	Malicious   string        // MaliciousReject, MaliciousQuarantine or MaliciousHeader
	Unknown     string        // UnknownAccept or UnknownTempfail
	Header      string        // name of the header that states the outcome
	MaxMessage  int64         // in bytes
	MaxParts    int           // maximum number of attachments in a mail
	Judge       *judge.Judge
	Log         zerolog.Logger
}

// Server is an open listener. Run serves it.
type Server struct {
	cfg      Config
	listener *local.Listener
	mails    *prometheus.CounterVec

	ending context.Context //nolint:containedctx // ends those who wait
	end    context.CancelFunc
	life   context.Context //nolint:containedctx // ends all that is under way
	kill   context.CancelFunc
}

// Values of the label "outcome".
const (
	outcomeNone      = "none"      // no attachment
	outcomeClean     = "clean"     // all attachments have verdicts, none malicious
	outcomeMalicious = "malicious" // at least one malicious verdict
	outcomeUnknown   = "unknown"   // some attachments have no verdict
	outcomeRefused   = "refused"   // too large, or too many attachments
	outcomeError     = "error"     // refused temporarily
)

// New opens the listener. Run serves it; a caller that does not call Run must call Close. The error
// matches local.ErrListen if the address is not available.
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
		Help: "Mails by outcome: none (no attachments), clean, malicious, unknown (verdicts missing), refused (over a limit), error (could not be submitted).",
	}, []string{"outcome"})
	for _, o := range []string{outcomeNone, outcomeClean, outcomeMalicious, outcomeUnknown, outcomeRefused, outcomeError} {
		s.mails.WithLabelValues(o)
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_mail_connections", Help: "Open connections of mail servers.",
	}, func() float64 { return float64(l.Open()) })
	if err := errors.Join(reg.Register(s.mails), reg.Register(open)); err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening and closes all connections. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
}

// Time limits for mail servers. A mail server is silent while its own client is.
const (
	readTimeout  = 10 * time.Minute
	writeTimeout = 30 * time.Second
)

// timed is a connection whose deadlines are extended with each read and write.
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

// Close is called once by the library, after its last call of the session.
func (c *timed) Close() error {
	err := c.Conn.Close()
	c.closed()

	return err
}
