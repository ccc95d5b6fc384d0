package mail

import (
	"net"

	"github.com/emersion/go-milter"
	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/local"
)

// New opens the listener. Run serves it; a caller that does not call Run must call Close. The error
// matches local.ErrListen if the address is not available.
func New(cfg Config, deps Deps) (*Server, error) {
	l, err := local.NewServer(cfg.Config, "mail")
	if err != nil {
		return nil, err
	}

	s := &Server{Server: l, cfg: cfg, deps: deps}
	s.Serve = s.serve
	s.mails, err = l.Register(deps.Registry, prometheus.CounterOpts{
		Name: "backburn_mail_messages_total",
		Help: "Mails by outcome: none (no attachments), clean, malicious, unknown (verdicts missing), refused (over a limit), error (could not be submitted).",
	}, "outcome", []string{outcomeNone, outcomeClean, outcomeMalicious, outcomeUnknown, outcomeRefused, outcomeError}, "Open connections of mail servers.")
	if err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

// serve runs a separate milter server for each connection, because the library does not report when
// a connection ends and has no time limits.
func (s *Server) serve(c *local.Conn) {
	n := &session{s: s}
	listener := &singleListener{conn: &timeoutConn{Conn: c}, ended: make(chan struct{})}
	listener.conn.onClose = func() {
		n.reset()
		close(listener.ended)
	}
	server := milter.Server{
		NewMilter: func() milter.Milter { return n },
		Actions:   milter.OptAddHeader | milter.OptChangeHeader | milter.OptQuarantine,
		Protocol:  milter.OptNoHelo,
	}
	_ = server.Serve(listener) // net.ErrClosed after the connection has ended
}

// singleListener is a listener that accepts one connection.
type singleListener struct {
	conn     *timeoutConn
	accepted bool
	ended    chan struct{}
}

func (l *singleListener) Accept() (net.Conn, error) {
	if !l.accepted {
		l.accepted = true
		return l.conn, nil
	}
	<-l.ended

	return nil, net.ErrClosed
}

func (l *singleListener) Close() error { return nil }

func (l *singleListener) Addr() net.Addr { return l.conn.LocalAddr() }
