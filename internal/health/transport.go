package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"backburn/internal/proxy"
)

// Service describes the service behind a part.
type Service struct {
	Part *Part
	Name string // for people, such as "WildFire"
	Key  string // configuration key of its address
	URL  string // URL that Run requests, without credentials, to find out whether the service is back; "": none

	// IsFault says which statuses mean that the service does not work; nil: 407 and 5xx.
	IsFault func(status int) bool
}

// Transport reports to a part whether its service can be reached, based on the calls through this
// transport. Every answer except those of Service.IsFault means that it can.
type Transport struct {
	next http.RoundTripper
	s    Service

	interval, idleTime time.Duration // tests change these

	mu                sync.Mutex
	consecutiveFaults int
	lastOutcome       time.Time // when the last call ended
	noAnswer          bool      // the last call had no answer
}

// NewTransport wraps a transport.
func NewTransport(next http.RoundTripper, s Service) *Transport {
	if s.IsFault == nil {
		s.IsFault = func(status int) bool { return status == http.StatusProxyAuthRequired || status >= 500 }
	}

	return &Transport{next: next, s: s, interval: checkInterval, idleTime: checkAfterIdle}
}

// CloseIdleConnections closes the idle connections of the wrapped transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// slowAnswer is how long the first call may have no answer before the part says so. Its state stays
// unknown until a call ends.
const slowAnswer = 10 * time.Second

// RoundTrip makes a call and reports its outcome.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	slow := time.AfterFunc(slowAnswer, func() {
		t.s.Part.explainUnknown(t.s.Name + " has not answered a call within " + slowAnswer.String() + "; still waiting")
	})
	defer slow.Stop()

	r, body := noteFailure(r)
	res, err := t.next.RoundTrip(r)
	if err != nil {
		f, ok := Unreachable(err)
		if !ok && !body.failed.Load() && !errors.Is(err, context.Canceled) {
			f, ok = brokenConnection(err), true
		}
		if ok {
			t.fault(f, true)
		}
		return nil, err
	}
	t.answered(res.StatusCode)

	return res, nil
}

// requestBody is the body of a request. It notes whether the caller's data could not be read.
type requestBody struct {
	io.ReadCloser
	*bodyState
}

// bodyState is shared by all readers of one request's body. After an error, a transport closes its
// reader while it may still be in use, so only a failure before that counts.
type bodyState struct{ closed, failed atomic.Bool }

// noteFailure returns a request whose body notes in the state whether its data could not be read.
func noteFailure(r *http.Request) (*http.Request, *bodyState) {
	state := &bodyState{}
	if r.Body == nil || r.Body == http.NoBody {
		return r, state
	}

	out := r.WithContext(r.Context()) // a shallow copy
	out.Body = requestBody{r.Body, state}
	if r.GetBody != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := r.GetBody()
			return requestBody{body, state}, err
		}
	}

	return out, state
}

func (b requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.failed.Store(true)
	}

	return n, err
}

func (b requestBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// failedAfter is how many calls in a row must fail before the service counts as failed. Until then
// it is degraded.
const failedAfter = 3

func (t *Transport) fault(f Fault, noAnswer bool) {
	t.mu.Lock()
	t.consecutiveFaults++
	t.lastOutcome = time.Now()
	t.noAnswer = noAnswer
	f.State = Degraded
	if t.consecutiveFaults >= failedAfter {
		f.State = Failed
	}
	t.mu.Unlock()

	if noAnswer {
		f.Reason = t.s.Name + " cannot be reached: " + f.Reason
	}
	if t.s.Key != "" {
		f.Remedy = strings.TrimPrefix(f.Remedy+"; its address is set by "+t.s.Key, "; ")
	}
	t.s.Part.Fault(f)
}

func (t *Transport) answered(status int) {
	if t.s.IsFault(status) {
		f := Fault{Cause: CauseStatus, Reason: t.s.Name + " answers " + strconv.Itoa(status), Remedy: "the service, or a proxy in front of it, does not work: wait, or ask its operator"}
		switch {
		case status == http.StatusProxyAuthRequired:
			f.Cause = CauseProxy
			f.Remedy = giveProxyCredentials
		case status < 500:
			f.Remedy = "correct the address, the credentials, or what the service accepts"
		}
		t.fault(f, false)
		return
	}

	t.mu.Lock()
	t.consecutiveFaults = 0
	t.lastOutcome = time.Now()
	t.noAnswer = false
	t.mu.Unlock()
	t.s.Part.OK()
}

const giveProxyCredentials = "give the proxy's credentials in HTTPS_PROXY"

const (
	checkInterval  = 5 * time.Second
	checkTimeout   = 10 * time.Second
	checkAfterIdle = 15 * time.Second // without an outcome
)

// Run checks, until ctx ends, whether a service that could not be reached is back. It makes a
// request only if no call has ended for 15 seconds. Its requests have no credentials and use no
// budget.
func (t *Transport) Run(ctx context.Context) error {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}

		t.mu.Lock()
		due := t.s.URL != "" && t.noAnswer && time.Since(t.lastOutcome) >= t.idleTime
		t.mu.Unlock()
		if due {
			t.check(ctx)
		}
	}
}

func (t *Transport) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodHead, t.s.URL, nil)
	if err != nil {
		return
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		return // RoundTrip has reported it
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
	_ = res.Body.Close()
}

// Unreachable returns why a call had no answer. ok is false for an error that is not one of the
// network.
func Unreachable(err error) (f Fault, ok bool) {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	refusal, isRefusal := errors.AsType[*proxy.Refusal](err)
	text := shortText(err)

	switch {
	case errors.Is(err, context.Canceled):
		return f, false
	case isRefusal && refusal.Status == http.StatusProxyAuthRequired:
		return Fault{Cause: CauseProxy, Reason: text, Remedy: giveProxyCredentials}, true
	case isRefusal:
		return Fault{Cause: CauseProxy, Reason: text, Remedy: "let the proxy allow the address, or see why it cannot connect"}, true
	case isOp && op.Op == "proxyconnect":
		return Fault{Cause: CauseProxy, Reason: "proxy: " + text, Remedy: "check HTTPS_PROXY and NO_PROXY, and the proxy itself"}, true
	case isDNS:
		return Fault{Cause: CauseDNS, Reason: "name " + dns.Name + ": " + dns.Err, Remedy: "check the host name and the name server"}, true
	case isTLS(err):
		return Fault{Cause: CauseTLS, Reason: text, Remedy: "check ca_file, the clock, and whether a proxy intercepts TLS"}, true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return Fault{Cause: CauseTimeout, Reason: text, Remedy: "check the network, firewalls and the proxy"}, true
	case isOp, errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		strings.Contains(text, "server closed idle connection"), strings.Contains(text, "malformed HTTP"):
		return brokenConnection(err), true
	}

	return f, false
}

// brokenConnection is the fault for a connection that cannot be made, or that breaks.
func brokenConnection(err error) Fault {
	return Fault{Cause: CauseTCP, Reason: shortText(err), Remedy: "check the network, firewalls and the proxy"}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)

	return ok && t.Timeout()
}

func isTLS(err error) bool {
	return isType[*tls.CertificateVerificationError](err) || isType[x509.UnknownAuthorityError](err) ||
		isType[x509.HostnameError](err) || isType[x509.CertificateInvalidError](err) ||
		isType[tls.RecordHeaderError](err) || errors.Is(err, http.ErrSchemeMismatch) || isType[tls.AlertError](err) || strings.Contains(err.Error(), "tls: ")
}

// shortText returns an error as one short line. A transport's error has no URL, which could contain
// a secret.
func shortText(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")

	return s[:min(len(s), 200)]
}
