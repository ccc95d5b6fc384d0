package auth

import (
	"context"
	"errors"
	"time"
)

// launch starts a renewal. mu is held and no renewal runs.
func (s *Source) launch(why reason) {
	r := &renewal{done: make(chan struct{})}
	w := renewalRequest{reason: why, current: s.current.Load(), probe: s.cool.breaks > 0}
	s.renewal = r

	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.timing.renewal)
		defer cancel()

		began := time.Now()
		if w.reason == reasonRejected && !w.probe {
			_ = s.pace.Wait(ctx) // if it fails, obtain fails too
		}

		h, err := s.obtain(ctx, w)
		s.finishRenewal(r, w, h, err, began)
	})
}

// obtain gets a token, through the fleet if tokens are shared.
func (s *Source) obtain(ctx context.Context, w renewalRequest) (*cachedToken, error) {
	if s.shared != nil {
		return s.shared.obtain(ctx, w)
	}
	return s.mintLocal(ctx, w)
}

// renewalReason returns the reason to renew h, which may be nil.
func (s *Source) renewalReason(h *cachedToken, now time.Time) reason {
	switch {
	case h == nil:
		return reasonInitial
	case h.phase(now) == refused:
		return reasonRejected
	default:
		return reasonExpired
	}
}

// finishRenewal installs the outcome of a renewal and wakes all callers that wait for it.
func (s *Source) finishRenewal(r *renewal, w renewalRequest, h *cachedToken, err error, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)

	s.renewal = nil
	now := time.Now()
	switch {
	case s.life.Err() != nil:
		r.err = ErrClosed

	case err != nil:
		s.failed(w, err, now)
		r.err = s.asAuthError(opRenew, err, s.current.Load()).After(s.cool.remaining(now))

	case h.id == s.lastRefused && !w.probe && s.renewalReason(s.current.Load(), now) == reasonRejected:
		// The server returned the refused token again. Do not install it.
		s.tripBreaker(now)
		r.err = s.cool.err.After(s.cool.remaining(now))
		s.metrics.refreshed(w.reason, resultRejected)

	default:
		r.token = h
		s.install(h)
		s.renewed(w, h, now.Sub(began))
	}
}

// renewed logs and counts a renewal that succeeded.
func (s *Source) renewed(w renewalRequest, h *cachedToken, took time.Duration) {
	result := resultOK
	if h.foreign {
		result = resultAdopted
	}

	s.metrics.refreshed(w.reason, result)
	s.log.Info().
		Str("reason", string(w.reason)).
		Str("result", string(result)).
		Str("fingerprint", h.id).
		Uint64("generation", h.generation).
		Stringer("lifetime", h.life).
		Stringer("took", took).
		Msg("token renewed")
}

// failed logs and counts a failed renewal, and starts a cool-down. mu is held.
func (s *Source) failed(w renewalRequest, err error, now time.Time) {
	e := s.asAuthError(opRenew, err, s.current.Load())
	s.cool.begin(now, e, revisionOf(err), s.timing)
	s.noteError(e, now)

	event := s.log.Warn()
	if e.Permanent {
		s.watchCredential()
		event = s.log.Error()
	}

	s.metrics.refreshed(w.reason, resultOf(e))
	event.Err(e).
		Str("reason", string(w.reason)).
		Stringer("pause", s.cool.remaining(now)).
		Bool("old_token_good", s.current.Load().servable(now)).
		Msg("token not renewed")
}

// revisionOf returns the revision of the shared record that contains err, or 0.
func revisionOf(err error) uint64 {
	var n recordedError
	if errors.As(err, &n) {
		return n.revision
	}
	return 0
}

// tripBreaker opens the loop breaker for the token that was refused last. mu is held.
func (s *Source) tripBreaker(now time.Time) {
	e := &AuthError{
		Profile:   s.profile.Name,
		Op:        "using a fresh token",
		Status:    401,
		Permanent: true,
		Class:     ErrCredentialRejected,
		Hint:      s.profile.preset().refusedHint,
	}
	s.cool.tripBreaker(now, e, s.lastRefused, s.timing)
	s.noteError(e, now)
	s.metrics.breaker.Inc()
	s.log.Error().Stringer("cooldown", e.RetryAfter).Int("in_a_row", s.cool.breaks).Str("fingerprint", s.lastRefused).
		Msg("the service refuses a fresh token; no request for a new one until the cool-down ends")

	s.watchCredential()
	if s.shared != nil && !s.closed {
		id, e := s.lastRefused, *e
		s.wg.Go(func() {
			if v, ok := s.shared.reportRefused(s.life, id, e); ok {
				s.refusalShared(id, v)
			}
		})
	}
}

// watchCredential checks for a new credential until the cool-down ends. A new credential ends the
// cool-down at once, even if nobody calls Token. mu is held.
func (s *Source) watchCredential() {
	if s.closed || s.watching {
		return
	}

	s.watching = true
	s.wg.Go(func() {
		for {
			select {
			case <-time.After(s.timing.credential):
			case <-s.life.Done():
				return
			}

			err := s.refusal()
			if err == nil {
				return
			}
			if s.credentialReplaced(s.life, err) {
				s.renewNow()
			}
		}
	})
}

// refusal returns the permanent error of the cool-down, or nil and ends the watch.
func (s *Source) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.cool.remaining(time.Now()) == 0 || !s.cool.err.Permanent {
		s.watching = false
		return nil
	}

	return s.cool.err
}

// renewNow starts a renewal in the background.
func (s *Source) renewNow() {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	h := s.current.Load()
	if !s.closed && s.renewal == nil && !h.servable(now) && s.cool.remaining(now) == 0 {
		s.launch(s.renewalReason(h, now))
	}
}
