package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalled is the cause of a context that was canceled by a signal.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return fmt.Sprintf("ended by signal: %s", s.signal) }

// Is makes errors.Is(err, context.Canceled) true for it, as for any cancellation.
func (s signalled) Is(target error) bool { return target == context.Canceled }

func (s signalled) code() int { return 128 + int(s.signal) }

// withSignals returns a context that SIGINT or SIGTERM cancels. A second signal exits the process
// at once, even if the shutdown hangs. The returned function restores the signals and waits for the
// goroutine to end.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quit, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
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
		<-finished
		cancel(nil)
	}
}
