package sink

import (
	"errors"
	"time"
)

// Kind is whose fault it is that an event was not taken.
type Kind string

// The kinds of faults.
const (
	// Unavailable is a receiver that cannot be reached or asks for patience, or a disk that is
	// full. It is tried again without an end.
	Unavailable Kind = "unavailable"

	// Failing is a receiver that broke down over an event. It is tried again Config.MaxAttempts
	// times.
	Failing Kind = "failing"

	// Misconfigured is a receiver, or a sink, that takes nothing until somebody changes its
	// configuration. The sink pauses, and tries again without an end.
	Misconfigured Kind = "misconfigured"

	// Refused is one event that the receiver will never take.
	Refused Kind = "refused"
)

// Kinds lists the kinds of faults.
func Kinds() []Kind { return []Kind{Unavailable, Failing, Misconfigured, Refused} }

// Fault is why a target did not take an event. Its text holds no secret.
type Fault struct {
	Kind   Kind
	After  time.Duration // how long the receiver wants to be left alone; 0 where it does not say
	Remedy string        // what an operator can do; "" where that is nothing
	Err    error
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// faultOf takes any other error for a receiver that is away.
func faultOf(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Kind: Unavailable, Err: err}
}
