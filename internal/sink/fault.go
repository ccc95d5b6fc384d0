package sink

import (
	"errors"
	"time"
)

// Kind classifies why an event was not delivered.
type Kind string

// The kinds of faults.
const (
	// Unavailable: the receiver cannot be reached or asks for a delay, or a disk is full. The sink
	// retries without limit.
	Unavailable Kind = "unavailable"

	// Failing: the receiver reported an internal error for an event. The sink dead-letters the
	// event after Config.MaxAttempts attempts.
	Failing Kind = "failing"

	// Misconfigured: the receiver or the sink does not work until somebody changes a configuration.
	// The sink pauses between attempts, and retries without limit.
	Misconfigured Kind = "misconfigured"

	// Refused: the receiver will never accept this event. The sink dead-letters it.
	Refused Kind = "refused"
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{Unavailable, Failing, Misconfigured, Refused} }

// Fault says why a target did not accept an event. Its text contains no secrets.
type Fault struct {
	Kind       Kind
	RetryAfter time.Duration // delay requested by the receiver; 0 if none
	Remedy     string        // what an operator can do; "" if nothing
	Err        error
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// asFault returns an error's Fault. Every other error counts as an unavailable receiver.
func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}

	return &Fault{Kind: Unavailable, Err: err}
}
