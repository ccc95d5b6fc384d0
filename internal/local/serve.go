package local

import (
	"context"
	"time"
)

// Server is a Listener with the contexts of what it serves.
type Server struct {
	*Listener

	Ending context.Context //nolint:containedctx // ends for those who wait
	Life   context.Context //nolint:containedctx // ends for all that is under way

	end, kill context.CancelFunc
}

// NewServer opens a listener. Run serves it; a caller that does not call Run must call Close.
func NewServer(cfg Config) (*Server, error) {
	l, err := Listen(cfg)
	if err != nil {
		return nil, err
	}

	s := &Server{Listener: l}
	s.Life, s.kill = context.WithCancel(context.Background()) //nolint:gosec // Run calls it
	s.Ending, s.end = context.WithCancel(s.Life)

	return s, nil
}

// Close stops listening and closes all connections. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.Listener.Close()
}

// Run serves each connection on its own goroutine until ctx ends. Ending then ends, so that waiting
// clients are answered, and running requests get the grace period until Life ends. Run returns once
// all connections are closed; the error is nil if ctx ended. It must be called only once.
func (s *Server) Run(ctx context.Context, grace time.Duration, serve func(*Conn)) error {
	l := s.Listener
	served := make(chan error, 1)
	go func() { served <- l.acceptAll(serve) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		_ = l.Close()
		<-served //nolint:errcheck // that it was closed
	}
	s.Close()
	l.Interrupt()

	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	defer context.AfterFunc(last, s.kill)()
	l.Drain(last)

	return err
}

func (l *Listener) acceptAll(serve func(*Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(c.(*Conn))
	}
}
