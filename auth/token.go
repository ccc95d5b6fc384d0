package auth

import (
	"context"
	"errors"
	"time"
)

// reason is why a renewal starts; its values label a metric.
type reason string

const (
	reasonInitial  reason = "initial"  // there was no token
	reasonEarly    reason = "early"    // it is in its renewal window
	reasonExpired  reason = "expired"  // it is over
	reasonRejected reason = "rejected" // a service refused it
)

var reasons = []reason{reasonInitial, reasonEarly, reasonExpired, reasonRejected}

// Token returns a token that is good to send: for KindAPIKey the key, otherwise a bearer
// token. While one is fresh it returns at once and allocates nothing. In the renewal
// window it returns the old one at once and renews in the background. Otherwise it waits
// for the one renewal that is under way for everybody, as long as ctx allows.
//
// Errors are ctx's own, ErrClosed, or an *AuthError: of class ErrTemporary,
// ErrCredentialRejected or ErrReauthorize. During a cool-down the error comes at once,
// without a request, and its RetryAfter says how long the cool-down still lasts. That of a
// refused credential ends early where a secret's file holds another one.
func (s *Source) Token(ctx context.Context) (string, error) {
	if h := s.current.Load(); h != nil {
		switch h.phase(time.Now()) {
		case fresh:
			return h.value, nil
		case stale:
			s.renewEarly(h)
			return h.value, nil
		}
	}
	return s.wait(ctx)
}

// TokenFor is Token for a call that takes long, such as a large upload: it waits for a
// renewal where the token at hand ends within d. Where the service grants no life that
// long, the newest token is returned.
func (s *Source) TokenFor(ctx context.Context, d time.Duration) (string, error) {
	h := s.current.Load()
	now := time.Now()
	if h == nil || !h.servable(now) || h.life == 0 || h.life-h.age(now) >= d || h.age(now) < h.life/2 {
		return s.Token(ctx)
	}
	if f := s.renewEarly(h); f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return s.Token(ctx)
}

// Rejected says that a service answered 401 to token. Only if it is still the current one
// does this do anything: then it is not given out again, and the next Token renews. A token
// that is refused soon after it was made cannot be cured by another one: then nothing is
// asked for during a cool-down that doubles, and Token returns ErrCredentialRejected.
func (s *Source) Rejected(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, now := s.current.Load(), time.Now()
	if h == nil || !h.is(token) || h.rejected.Load() {
		return
	}
	h.rejected.Store(true)
	s.doubt.Store(true)
	s.refuse(h, now)
}

// refuse notes that the current token is no good, and opens the loop breaker where a new
// one would not be either. mu is held.
func (s *Source) refuse(h *held, now time.Time) {
	age := h.age(now)
	over := h.life > 0 && age >= h.life
	early := age < s.timing.freshFor && !over
	again := s.cool.breaks == 0 && !s.lastReject.IsZero() && now.Sub(s.lastReject) < s.timing.inARow && !over
	if age >= s.timing.freshFor && !again {
		s.cool.breaks = 0 // it was good for a while
	}
	s.lastReject, s.lastRefused = now, h.id
	if !early && !again {
		s.log.Info().Str("fingerprint", h.id).Uint64("generation", h.generation).Msg("token refused by the service, renewing")
		return
	}
	s.trip(now)
}

// trip opens the loop breaker. mu is held.
func (s *Source) trip(now time.Time) {
	e := &AuthError{
		Profile: s.profile.Name, Op: "using a fresh token", Status: 401, Permanent: true, class: ErrCredentialRejected,
		Hint: refusedHint(s.profile),
	}
	s.cool.trip(now, e, s.timing)
	s.noteError(e, now)
	s.metrics.breaker.Inc()
	s.log.Error().Dur("cooldown", e.RetryAfter).Int("in_a_row", s.cool.breaks).Str("fingerprint", s.lastRefused).
		Msg("the service refuses a fresh token; no new one until the cool-down ends")
	if s.shared != nil && !s.closed {
		id, e := s.lastRefused, *e
		s.wg.Go(func() { s.shared.tell(s.life, id, e) })
	}
}

func refusedHint(p Profile) string {
	switch p.Kind {
	case KindWildFire:
		return "check that a WildFire API key is bound to the service account and Valid (a new key is Pending for some minutes)"
	case KindAPIKey:
		return "check the key, and that it belongs to this service"
	case KindWatchGuard:
		return "check the account, the audience and the API key"
	default:
		return "check the account's rights and that the profile belongs to this service"
	}
}

// Accepted says that a service took token, which ends any doubt about fresh ones; without
// doubt it takes no lock. Where nobody calls it, a token that is not refused within a minute
// counts as accepted.
func (s *Source) Accepted(token string) {
	if !s.doubt.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.current.Load(); h != nil && h.is(token) && !h.rejected.Load() {
		s.cool.breaks = 0
		s.lastReject = time.Time{}
		s.doubt.Store(false)
	}
}

// renewEarly starts a renewal of h in the background, unless one runs or a cool-down
// forbids it. It returns the renewal that runs, or nil.
func (s *Source) renewEarly(h *held) *renewal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.current.Load() != h {
		return nil
	}
	if s.renewal == nil && s.cool.remaining(time.Now()) == 0 {
		s.launch(reasonEarly)
	}
	return s.renewal
}

// wait returns the outcome of the renewal that everybody waits for, starting it if need be.
func (s *Source) wait(ctx context.Context) (string, error) {
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		h, f, err := s.join()
		if err != nil {
			if s.mended(err) {
				continue
			}
			return "", err
		}
		if h != nil {
			return h.value, nil
		}
		s.waiters.Add(1)
		select {
		case <-f.done:
			s.waiters.Add(-1)
		case <-ctx.Done():
			s.waiters.Add(-1)
			return "", ctx.Err()
		}
		if f.err != nil {
			return "", f.err
		}
		if f.token.servable(time.Now()) {
			return f.token.value, nil
		}
	}
}

// join returns a token that may be served, or the renewal to wait for, or why there is
// neither.
func (s *Source) join() (*held, *renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	h, now := s.current.Load(), time.Now()
	if h.servable(now) {
		return h, nil, nil
	}
	if s.renewal != nil {
		return nil, s.renewal, nil
	}
	if left := s.cool.remaining(now); left > 0 {
		return nil, nil, s.cool.err.after(left)
	}
	s.launch(s.why(h, now))
	return nil, s.renewal, nil
}

// mended reports whether somebody replaced the secret since it was refused, and ends the
// cool-down if so: it was the old one's.
func (s *Source) mended(err error) bool {
	if !errors.Is(err, ErrCredentialRejected) {
		return false
	}
	if changed, _ := s.reloadSecrets(); !changed {
		return false
	}
	s.log.Info().Msg("the secret was replaced, asking again")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cool = cooldown{}
	return true
}

func (s *Source) why(h *held, now time.Time) reason {
	switch {
	case h == nil:
		return reasonInitial
	case h.phase(now) == refused:
		return reasonRejected
	default:
		return reasonExpired
	}
}

// launch starts a renewal. mu is held and no renewal runs.
func (s *Source) launch(why reason) {
	f := &renewal{done: make(chan struct{})}
	w := want{reason: why, have: s.current.Load(), probe: s.cool.breaks > 0}
	s.renewal = f
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.timing.renewal)
		defer cancel()
		began := time.Now()
		h, err := s.obtain(ctx, w)
		s.land(f, w, h, err, began)
	})
}

// land installs the outcome of a renewal and wakes everybody who waits for it.
func (s *Source) land(f *renewal, w want, h *held, err error, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	s.renewal = nil
	now := time.Now()
	switch {
	case s.life.Err() != nil:
		f.err = ErrClosed
	case err != nil:
		e := s.asAuthError("renewing the token", err)
		s.failed(w, e, now)
		f.err = e.after(s.cool.remaining(now))
	case h.id == s.lastRefused && !w.probe && s.why(s.current.Load(), now) == reasonRejected:
		// The server gave the refused token out again. It is not installed.
		s.trip(now)
		f.err = s.cool.err.after(s.cool.remaining(now))
		s.metrics.refreshed(w.reason, resultRejected)
	default:
		f.token = h
		s.install(h)
		result := resultOK
		if h.foreign {
			result = resultAdopted
		}
		s.metrics.refreshed(w.reason, result)
		s.log.Info().Str("reason", string(w.reason)).Str("result", string(result)).Str("fingerprint", h.id).Uint64("generation", h.generation).
			Dur("lifetime", h.life).Dur("took", now.Sub(began)).Msg("token renewed")
	}
}

// failed notes why a renewal failed. mu is held.
func (s *Source) failed(w want, e *AuthError, now time.Time) {
	s.cool.note(now, e, s.timing)
	s.noteError(e, now)
	result := resultTemporary
	switch {
	case errors.Is(e, ErrReauthorize):
		result = resultReauthorize
	case errors.Is(e, ErrCredentialRejected):
		result = resultRejected
	}
	s.metrics.refreshed(w.reason, result)
	event := s.log.Warn()
	if e.Permanent {
		event = s.log.Error()
	}
	event.Err(e).Str("reason", string(w.reason)).Dur("pause", s.cool.remaining(now)).
		Bool("old_token_good", s.current.Load().servable(now)).Msg("token not renewed")
}

// install makes h the current token. mu is held.
func (s *Source) install(h *held) {
	s.current.Store(h)
	s.cool.granted()
	s.lastErr = nil
}

func (s *Source) noteError(e *AuthError, now time.Time) { s.lastErr, s.lastErrAt = e, now }
