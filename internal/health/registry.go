package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// tick is how often a registry checks its parts, to log lasting faults and to end expired ones.
const tick = time.Second

// Registry has the parts of a process. It is safe for concurrent use.
type Registry struct {
	log zerolog.Logger
	now func() time.Time

	mu      sync.Mutex
	parts   map[string]map[string]*Part // by what they belong to, and by name
	probes  []*probe
	waiters []*waiter
}

// New makes a registry. It logs changes of parts, and lasting faults every ten minutes.
func New(log zerolog.Logger) *Registry {
	return &Registry{log: log, now: time.Now, parts: map[string]map[string]*Part{}}
}

// Part returns the part with a name, and creates it if necessary. A new part is OK, because it has
// not failed.
func (r *Registry) Part(part, of string) *Part { return r.part(part, of, OK, false) }

// UnknownPart is Part for a part whose state is unknown until its first use, such as a service.
func (r *Registry) UnknownPart(part, of string) *Part { return r.part(part, of, Unknown, false) }

// RequiredPart is UnknownPart for a part without which the process is not ready.
func (r *Registry) RequiredPart(part, of string) *Part { return r.part(part, of, Unknown, true) }

// part returns the part with a name; a new one has this state. A part that was required once stays
// required.
func (r *Registry) part(part, of string, state State, required bool) *Part {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.parts[of] == nil {
		r.parts[of] = map[string]*Part{}
	}
	p := r.parts[of][part]
	if p == nil {
		p = &Part{r: r, logged: OK, status: Status{Part: part, Of: of, State: state, Since: r.now().UTC()}}
		r.parts[of][part] = p
	}
	p.status.required = p.status.required || required

	return p
}

// Func creates a part whose state comes from ask on every read. ask must be fast and must not call
// the registry. It returns nil, a Note, a Fault or another error.
func (r *Registry) Func(part, of string, ask func() error) {
	p := r.Part(part, of)

	r.mu.Lock()
	defer r.mu.Unlock()
	p.check = ask
}

// Remove removes a part that no longer exists, such as a sink that was removed from the
// configuration.
func (r *Registry) Remove(part, of string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.parts[of], part)
	if len(r.parts[of]) == 0 {
		delete(r.parts, of)
	}
	r.wakeLocked()
}

// Parts returns all parts, sorted by name.
func (r *Registry) Parts() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, parts := range r.parts {
		for _, p := range parts {
			p.refreshLocked()
		}
	}

	return sorted(r.statusesLocked())
}

// Of returns the parts that have this Status.Of, and whose names begin with prefix, sorted by name.
func (r *Registry) Of(prefix, of string) []Status {
	r.mu.Lock()
	defer r.mu.Unlock()

	var found []Status
	for name, p := range r.parts[of] {
		if strings.HasPrefix(name, prefix) {
			p.refreshLocked()
			found = append(found, p.status)
		}
	}

	return sorted(found)
}

func (r *Registry) statusesLocked() []Status {
	var all []Status
	for _, parts := range r.parts {
		for _, p := range parts {
			all = append(all, p.status)
		}
	}

	return all
}

func sorted(all []Status) []Status {
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Of, b.Of))
	})

	return all
}

// Run runs the probes and checks the parts until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	probes := slices.Clone(r.probes)
	r.mu.Unlock()

	var all sync.WaitGroup
	for _, p := range probes {
		all.Go(func() { p.run(ctx) })
	}

	t := time.NewTicker(tick)
	defer t.Stop()
	for ctx.Err() == nil {
		r.Parts()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	all.Wait()

	return nil
}

// Part is a part of the process. The code that does its work reports to it.
type Part struct {
	r     *Registry
	check func() error // the function of Func; nil otherwise

	// Guarded by r.mu.
	status       Status
	expires      time.Time // expiry of the fault; zero: never
	logged       State     // the state that was logged last
	loggedReason string
	loggedAt     time.Time
}

// OK records a success of the part. It reports whether that ends a fault.
func (p *Part) OK() bool { return p.set(nil) }

// Fault records a fault of the part. It reports whether the part had none before.
func (p *Part) Fault(f Fault) bool { return p.set(f) }

// Check records the result of the part's work; nil is a success.
func (p *Part) Check(err error) { p.set(err) }

// explainUnknown sets the reason of a part whose state is not known yet.
func (p *Part) explainUnknown(reason string) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()

	if p.status.State == Unknown {
		p.status.Reason = reason
	}
}

// Status returns the state of the part.
func (p *Part) Status() Status {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.refreshLocked()

	return p.status
}

func (p *Part) set(err error) bool {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()

	return p.setLocked(err)
}

// setLocked reports whether a fault began or ended.
func (p *Part) setLocked(err error) bool {
	now := p.r.now()
	before := p.status.State
	s := Status{
		Part:     p.status.Part,
		Of:       p.status.Of,
		Since:    p.status.Since,
		State:    OK,
		required: p.status.required,
	}
	p.expires = time.Time{}

	if note, ok := errors.AsType[Note](err); ok {
		s.Note = string(note)
	} else if err != nil {
		f := faultOf(err)
		s.State = f.State
		s.Cause = f.Cause
		s.Reason = f.Reason
		s.Remedy = f.Remedy
		if f.Expires > 0 {
			p.expires = now.Add(f.Expires)
		}
	}
	if s.State != before && !(before.isBad() && s.State.isBad()) { // a fault that becomes worse is still the same fault
		s.Since = now.UTC()
	}
	p.status = s
	p.logLocked(now)
	if s.State != before {
		p.r.wakeLocked()
	}

	return before.isBad() != s.State.isBad()
}

// refreshLocked updates the state of a part of Func, and ends an expired fault.
func (p *Part) refreshLocked() {
	switch {
	case p.check != nil:
		p.setLocked(p.check())
	case !p.expires.IsZero() && !p.r.now().Before(p.expires):
		p.setLocked(nil)
	default:
		p.logLocked(p.r.now())
	}
}

const (
	logInterval  = 10 * time.Minute // between two log lines about a lasting fault
	flapInterval = time.Minute      // a fault that ends and returns within this time is logged once
)

// logLocked logs a change of the part at once, and a lasting fault at intervals.
func (p *Part) logLocked(now time.Time) {
	s := p.status
	bad := s.State.isBad()
	switch {
	case s.State == Unknown:
		return
	case !bad && !p.logged.isBad():
		p.logged = s.State
		return
	case bad && p.logged == s.State && now.Sub(p.loggedAt) < logInterval:
		return
	case bad && !p.logged.isBad() && p.loggedReason == s.Reason && now.Sub(p.loggedAt) < flapInterval:
		return // the fault comes and goes
	}
	p.logged = s.State
	p.loggedAt = now
	if !bad {
		s.fields(p.r.log.Info()).Msg("part works again")
		return
	}

	p.loggedReason = s.Reason
	e := p.r.log.Warn()
	if s.State == Failed {
		e = p.r.log.Error()
	}
	e = s.fields(e).Str("cause", string(s.Cause)).Str("reason", s.Reason)
	if s.Remedy != "" {
		e = e.Str("remedy", s.Remedy)
	}
	e.Time("since", s.Since).Msg("part is " + string(s.State))
}

// Probe is a check that is too expensive for every read, so it runs at intervals.
type Probe struct {
	Every      time.Duration // interval while the part is ok; defaults to 10s
	RetryEvery time.Duration // interval while it is not; defaults to 1s
	Timeout    time.Duration // of one run; defaults to 5s

	// Optional leaves the process ready before the first answer.
	Optional bool

	// Ask returns nil, a Note, a Fault or another error. If it ignores the end of its context, the
	// part is reported as failed, and Ask is not called again before it has returned.
	Ask func(ctx context.Context) error
}

type probe struct {
	Probe
	part *Part
}

// Probe creates a part that Run checks at intervals. Run must be called afterwards.
func (r *Registry) Probe(part, of string, p Probe) {
	p.Every = cmp.Or(p.Every, 10*time.Second)
	p.RetryEvery = cmp.Or(p.RetryEvery, time.Second)
	p.Timeout = cmp.Or(p.Timeout, 5*time.Second)

	probe := &probe{Probe: p, part: r.part(part, of, Unknown, !p.Optional)}

	r.mu.Lock()
	defer r.mu.Unlock()
	r.probes = append(r.probes, probe)
}

func (p *probe) run(ctx context.Context) {
	for {
		p.runOnce(ctx)

		wait := p.Every
		if p.part.Status().State != OK {
			wait = p.RetryEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// runOnce runs the probe once. It returns when the probe does, even if that is after the timeout,
// so a probe that hangs is not started again.
func (p *probe) runOnce(ctx context.Context) {
	actx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()

	answer := make(chan error, 1)
	go func() {
		defer func() {
			if recover() != nil {
				answer <- errors.New("the check panicked") // the panic value may contain secrets
			}
		}()
		answer <- p.Ask(actx)
	}()

	deadline := time.NewTimer(p.Timeout + p.Timeout/4)
	defer deadline.Stop()
	for {
		select {
		case err := <-answer:
			switch {
			case ctx.Err() != nil:
			case err != nil && actx.Err() != nil && !isType[Fault](err):
				p.part.Fault(Fault{Cause: CauseTimeout, Reason: fmt.Sprintf("no answer within %s: %s", p.Timeout, err)})
			default:
				p.part.Check(err)
			}
			return
		case <-deadline.C:
			if ctx.Err() == nil {
				p.part.Fault(Fault{Cause: CauseTimeout, Reason: fmt.Sprintf("no answer within %s", p.Timeout)})
			}
		}
	}
}

// waiter is a call of Await.
type waiter struct {
	done    func(parts []Status) bool
	reached chan struct{} // closed once done is true
}

// Await waits until done, such as Ready or Checked, is true of the parts.
func (r *Registry) Await(ctx context.Context, done func(parts []Status) bool) error {
	r.mu.Lock()
	if done(r.statusesLocked()) {
		r.mu.Unlock()
		return nil
	}
	w := &waiter{done: done, reached: make(chan struct{})}
	r.waiters = append(r.waiters, w)
	r.mu.Unlock()

	select {
	case <-w.reached:
		return nil
	case <-ctx.Done():
		r.mu.Lock()
		r.waiters = slices.DeleteFunc(r.waiters, func(other *waiter) bool { return other == w })
		r.mu.Unlock()

		return ctx.Err()
	}
}

// wakeLocked ends the waits whose condition is true now.
func (r *Registry) wakeLocked() {
	if len(r.waiters) == 0 {
		return
	}
	all := r.statusesLocked()
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool {
		if !w.done(all) {
			return false
		}
		close(w.reached)

		return true
	})
}
