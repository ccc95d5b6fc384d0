package health

import (
	"errors"
	"time"
)

// State is how a part is.
type State string

// The states, from well to unwell.
const (
	OK       State = "ok"
	Unknown  State = "unknown"  // nothing is known yet
	Degraded State = "degraded" // it works, and something is missing
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

// Cause is the kind of a fault: what kept a service from being reached, or a part from working.
type Cause string

// The causes. A part may have others.
const (
	CauseDNS     Cause = "dns"     // the name cannot be resolved
	CauseTCP     Cause = "tcp"     // no connection, or it broke
	CauseTLS     Cause = "tls"     // the certificate, or the handshake
	CauseProxy   Cause = "proxy"   // the proxy cannot be reached, or refuses
	CauseTimeout Cause = "timeout" // no answer in time
	CauseStatus  Cause = "status"  // an answer that says that the service does not work
	CauseFull    Cause = "full"    // no room
	CauseRefused Cause = "refused" // credentials, or permissions
	CauseQuota   Cause = "quota"   // the day's budget is used up
	CausePause   Cause = "pause"   // calls are paused after a fault
	CauseDisk    Cause = "disk"    // of the machine
	CauseOther   Cause = "other"
)

// Fault is why a part is not well.
type Fault struct {
	State  State  // Degraded or Failed; defaults to Failed
	Cause  Cause  // defaults to CauseOther
	Reason string // what failed, and why; without secrets
	Remedy string // what to do; "" where the reason says it, or nothing is to be done

	// Expires is after how long the fault is over if it is not reported again: for what may be
	// given up without a success. 0 is never.
	Expires time.Duration
}

// Error makes a Fault the error of a check.
func (f Fault) Error() string {
	if f.Remedy == "" {
		return f.Reason
	}

	return f.Reason + "; " + f.Remedy
}

// Note is the error of a check whose part is ok, with something that deserves a look.
type Note string

func (n Note) Error() string { return string(n) }

// faultOf makes a fault of the error of a check.
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
