package cli

import (
	"errors"
	"fmt"
	"slices"

	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
)

// The exit codes of every binary. A process that a signal ended exits with 128 and the
// number of the signal: 130 for SIGINT, 143 for SIGTERM.
const (
	OK          = 0
	Malicious   = 1 // something is malicious
	Usage       = 2 // the command line or the configuration is wrong
	Partial     = 3 // a part of the work failed
	Unreachable = 4 // something that it needs is not there: a server, a port, room on the disk
)

// exitError is an error that knows its exit code. Without an err nothing is printed.
type exitError struct {
	code int
	err  error
}

// Exit gives an error an exit code. A nil err ends the process with the code and without
// a word, for outcomes that were reported already.
func Exit(code int, err error) error { return &exitError{code, err} }

// Usagef makes an error of the command line.
func Usagef(format string, args ...any) error { return Exit(Usage, fmt.Errorf(format, args...)) }

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// commandError is an error that a command returned, as opposed to cobra.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// What the parts of a process say when they cannot do their work: misconfigured is what only
// another configuration heals, unreachable what may be there the next time.
var (
	misconfigured = []error{watch.ErrUnusable, queue.ErrMixed}
	unreachable   = []error{
		natsconn.ErrUnreachable, natsconn.ErrRefused, natsconn.ErrOversized, natsconn.ErrTLS, natsconn.ErrClosed,
		queue.ErrUnavailable, httpserver.ErrListen,
	}
)

func isAny(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// Code gives the exit code of an error: that of Exit, else by its kind, else Partial. An
// error that no command returned comes from reading the command line.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[config.Problems](err); ok {
		return Usage
	}
	if isAny(err, misconfigured) {
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
