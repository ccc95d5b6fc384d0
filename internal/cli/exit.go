package cli

import (
	"errors"
	"fmt"
	"slices"

	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/internal/local"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
)

// The exit codes of every binary. A process that a signal ended exits with 128 plus the number of
// the signal: 130 for SIGINT, 143 for SIGTERM.
const (
	OK          = 0
	Malicious   = 1 // a file or link is malicious
	Usage       = 2 // the command line or the configuration is wrong
	Partial     = 3 // a part of the work failed
	Unreachable = 4 // a server, a port or disk space is not available
)

// exitError is an error with an exit code. If err is nil, nothing is printed.
type exitError struct {
	code int
	err  error
}

// Exit gives an error an exit code. With a nil err, the process exits with the code and prints
// nothing, for results that were already reported.
func Exit(code int, err error) error { return &exitError{code, err} }

// Usagef returns a usage error.
func Usagef(format string, args ...any) error { return Exit(Usage, fmt.Errorf(format, args...)) }

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// commandError is an error from a command, as opposed to one from cobra.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// Errors that determine the exit code. The errors in misconfigured require a change of the
// configuration. Those in unreachable may disappear without one.
var (
	misconfigured = []error{watch.ErrUnusable, queue.ErrMixed}
	unreachable   = []error{
		natsconn.ErrUnreachable, natsconn.ErrRefused, natsconn.ErrOversized, natsconn.ErrTLS, natsconn.ErrClosed, natsconn.ErrRole,
		queue.ErrUnavailable, httpserver.ErrListen, local.ErrListen,
	}
)

func isAny(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// Code returns the exit code of an error: the code that Exit gave it, otherwise the code of its
// kind, otherwise Partial. An error of cobra, and not of a command, is a usage error.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[config.Problems](err); ok || isAny(err, misconfigured) {
		return Usage
	}
	if isAny(err, unreachable) {
		return Unreachable
	}
	if _, ok := errors.AsType[*commandError](err); !ok {
		return Usage
	}

	return Partial
}
