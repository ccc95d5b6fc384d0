package clamd

import (
	"context"
	"fmt"
	"time"

	"backburn/internal/local"
)

// Run serves until ctx ends; those who wait are then answered with what is known, and what else is under
// way gets the grace time. It returns when no connection is left, nil when it was ctx that ended it. Call
// it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- s.accept() }()

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("clamd: %w", err)
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
		go s.serve(c.(*local.Conn))
	}
}
