package mail

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-milter"

	"backburn/internal/local"
)

// Run serves mail servers until ctx ends. Mails that wait for verdicts are then answered
// immediately, with what is known; other requests get the grace period. Run returns once all
// connections are closed; the error is nil if ctx ended. It must be called only once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	if err := s.Server.Run(ctx, grace, func(c *local.Conn) { s.serve(c) }); err != nil {
		return fmt.Errorf("mail: %w", err)
	}

	return nil
}

// serve runs a separate milter server for each connection, because the library does not report when
// a connection ends and has no time limits.
func (s *Server) serve(c net.Conn) {
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
