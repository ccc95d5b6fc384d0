package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalled is the cause of a context that a signal ended.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return fmt.Sprintf("ended by signal: %s", s.signal) }

// Is makes errors.Is(err, context.Canceled) true for it, as for any cancellation.
func (s signalled) Is(target error) bool { return target == context.Canceled }

func (s signalled) code() int { return 128 + int(s.signal) }

// onSignals gives a context that SIGINT or SIGTERM ends. The second signal exits from
// here: what hangs in a shutdown must not keep the process. The function that comes with
// it gives the signals back and waits until nothing here runs any more.
func onSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case s := <-signals:
				sig, ok := s.(syscall.Signal)
				if !ok {
					sig = syscall.SIGINT
				}
				if ctx.Err() != nil {
					os.Exit(signalled{sig}.code())
				}
				cancel(signalled{sig})
			case <-quit:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(quit)
		<-gone
		cancel(nil)
	}
}
