package mail

import (
	"context"
	"fmt"
	"net"
	"time"

	"backburn/internal/local"

	"github.com/emersion/go-milter"
)

// Run serves until ctx ends; mail that waits is then answered by what is known, and what else is
// under way gets the grace time. It returns when no connection is left, nil when it was ctx that
// ended it. Call it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	if err := s.listener.Serve(ctx, grace, s.Close, s.kill, func(c *local.Conn) { s.serve(c) }); err != nil {
		return fmt.Errorf("mail: %w", err)
	}

	return nil
}

// serve lets a milter server of its own serve a connection: the library tells nobody that one
// ended, and serves without time limits.
func (s *Server) serve(c net.Conn) {
	n := &session{s: s}
	one := &single{conn: &timed{Conn: c}, ended: make(chan struct{})}
	one.conn.closed = func() {
		n.reset()
		close(one.ended)
	}
	server := milter.Server{
		NewMilter: func() milter.Milter { return n },
		Actions:   milter.OptAddHeader | milter.OptChangeHeader | milter.OptQuarantine,
		Protocol:  milter.OptNoHelo,
	}
	_ = server.Serve(one) // net.ErrClosed, when the connection ended
}

// single is a listener for one connection.
type single struct {
	conn  *timed
	taken bool
	ended chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.ended

	return nil, net.ErrClosed
}

func (l *single) Close() error { return nil }

func (l *single) Addr() net.Addr { return l.conn.LocalAddr() }
