package mail

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-milter"
)

// Run serves until ctx ends; mail that waits is then answered by what is known, and what else is under
// way gets the grace time. It returns when no connection is left, nil when it was ctx that ended it. Call
// it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- s.accept() }()

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("mail: %w", err)
	case <-ctx.Done():
		_ = s.listener.Close()
		<-served
	}
	s.Close()
	s.listener.Interrupt()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	defer context.AfterFunc(last, s.kill)()
	s.listener.Drain(last)

	return err
}

func (s *Server) accept() error {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go s.serve(c)
	}
}

// serve lets a milter server of its own serve a connection: the library tells nobody that one ended, and
// serves without time limits.
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
