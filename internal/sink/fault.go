package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"backburn/internal/health"
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
	Cause      health.Cause  // defaults to health.CauseOther
	RetryAfter time.Duration // delay requested by the receiver, at most maxRetryAfter; 0 if none
	Remedy     string        // what an operator can do; "" if nothing
	Err        error
}

// maxRetryAfter limits the delay that a receiver can request.
const maxRetryAfter = 15 * time.Minute

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// networkFault returns the fault for an error of a connection. A certificate or protocol that is
// wrong stays wrong until somebody changes a configuration.
func networkFault(doing string, err error) *Fault {
	f := &Fault{Kind: Unavailable, Err: fmt.Errorf("%s: %w", doing, err)}
	if u, ok := health.Unreachable(err); ok {
		f.Cause, f.Remedy = u.Cause, u.Remedy
	}

	var (
		cert      *tls.CertificateVerificationError
		host      x509.HostnameError
		op        *net.OpError
		headerErr tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &cert), errors.As(err, &host):
		f.Kind, f.Cause = Misconfigured, health.CauseTLS
		f.Remedy = "check the sink's ca_file, and that the receiver's certificate has the name in its address"
	case errors.As(err, &op) && op.Op == "remote error", // a TLS alert
		errors.As(err, &headerErr), errors.Is(err, http.ErrSchemeMismatch): // the receiver does not speak TLS
		f.Kind, f.Cause = Misconfigured, health.CauseTLS
		f.Remedy = "check the sink's address, cert_file and key_file, and what the receiver demands"
	}

	return f
}

// asFault returns an error's Fault. Every other error counts as an unavailable receiver.
func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}

	return &Fault{Kind: Unavailable, Err: err}
}
