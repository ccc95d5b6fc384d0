package local

import (
	"context"
	"time"
)

// Serve serves each connection on its own goroutine until ctx ends. It then calls closing, which
// must answer waiting clients, and gives running requests the grace period; kill ends the rest.
// Serve returns once all connections are closed; the error is nil if ctx ended. It must be called
// only once.
func (l *Listener) Serve(ctx context.Context, grace time.Duration, closing, kill func(), serve func(*Conn)) error {
	served := make(chan error, 1)
	go func() { served <- l.acceptAll(serve) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		_ = l.Close()
		<-served //nolint:errcheck // that it was closed
	}
	closing()
	l.Interrupt()

	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	defer context.AfterFunc(last, kill)()
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
