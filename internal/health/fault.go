package health

import (
	"errors"
	"time"
)

// State is the state of a part.
type State string

// The states, from best to worst.
const (
	OK       State = "ok"
	Unknown  State = "unknown"  // not known yet
	Degraded State = "degraded" // it works in part
	Failed   State = "failed"   // it does not work
)

// States lists every state, for metrics.
func States() []State { return []State{OK, Unknown, Degraded, Failed} }

// severity orders states.
func (s State) severity() int {
	switch s {
	case OK:
		return 0
	case Unknown:
		return 1
	case Degraded:
		return 2
	}

	return 3
}

// isBad reports whether a part in this state has a fault.
func (s State) isBad() bool { return s != OK && s != Unknown }

// Cause is the kind of a fault: why a service cannot be reached or a part does not work.
type Cause string

// The causes. A part may have others.
const (
	CauseDNS     Cause = "dns"     // the name cannot be resolved
	CauseTCP     Cause = "tcp"     // no connection, or a broken one
	CauseTLS     Cause = "tls"     // certificate or handshake
	CauseProxy   Cause = "proxy"   // the proxy cannot be reached, or refuses the request
	CauseTimeout Cause = "timeout" // no answer in time
	CauseStatus  Cause = "status"  // the answer says that the service does not work
	CauseFull    Cause = "full"    // no room
	CauseRefused Cause = "refused" // credentials, or permissions
	CauseQuota   Cause = "quota"   // the day's budget is used up
	CausePause   Cause = "pause"   // calls are paused after a fault
	CauseDisk    Cause = "disk"    // of the machine
	CauseOther   Cause = "other"
)

// Fault says why a part is not ok.
type Fault struct {
	State  State  // Degraded or Failed; defaults to Failed
	Cause  Cause  // defaults to CauseOther
	Reason string // what failed and why, without secrets
	Remedy string // what to do; "" if the reason says it, or nothing can be done

	// Expires is the time after which the fault ends unless it is reported again, for work that may
	// be given up without a success. 0 is never.
	Expires time.Duration
}

// Error lets a check return a Fault as its error.
func (f Fault) Error() string {
	if f.Remedy == "" {
		return f.Reason
	}

	return f.Reason + "; " + f.Remedy
}

// Note is the error of a check whose part is ok but has something to report.
type Note string

func (n Note) Error() string { return string(n) }

// faultOf converts the error of a check to a Fault.
func faultOf(err error) Fault {
	f, ok := errors.AsType[Fault](err)
	if !ok {
		f.Reason = err.Error()
	}
	if f.State != Degraded {
		f.State = Failed
	}
	if f.Cause == "" {
		f.Cause = CauseOther
	}

	return f
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)

	return ok
}
