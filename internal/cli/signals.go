package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal canceled.
type signalError struct{ signal syscall.Signal }

func (s signalError) Error() string { return fmt.Sprintf("ended by signal: %s", s.signal) }

// Is makes errors.Is(err, context.Canceled) true, as for any cancellation.
func (s signalError) Is(target error) bool { return target == context.Canceled }

// code returns the exit code of a process that the signal ended.
func (s signalError) code() int { return 128 + int(s.signal) }

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
					os.Exit(signalError{sig}.code())
				}

				cancel(signalError{sig})
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

// SurviveHangup prevents SIGHUP from ending the process. Daemons call it first, because a service
// manager or a log rotation may send SIGHUP at any time. Package app handles the signal later.
// release restores the default.
func SurviveHangup() (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)

	return func() { signal.Stop(c) }
}
