package local

import (
	"context"
	"time"
)

// Serve serves each connection on a goroutine of its own until ctx ends. Then it calls closing, which
// has those who wait answered, and gives what is under way the grace time; kill ends the rest. It returns
// when no connection is left, nil when it was ctx that ended it. Call it once.
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
