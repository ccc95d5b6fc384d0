package auth

import (
	"context"
	"errors"
	"time"
)

// startRenewal starts a renewal. mu is held and no renewal runs.
func (s *Source) startRenewal(why reason) {
	r := &renewal{done: make(chan struct{})}
	req := renewalRequest{reason: why, current: s.current.Load(), probe: s.cool.breaks > 0}
	s.renewal = r

	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.background, s.timing.renewalTimeout)
		defer cancel()

		began := time.Now()
		if req.reason == reasonRejected && !req.probe {
			_ = s.renewalPace.Wait(ctx) // if ctx ends, obtain fails too
		}

		tok, err := s.obtain(ctx, req)
		s.finishRenewal(r, req, tok, err, began)
	})
}

// obtain gets a token, through the fleet if tokens are shared.
func (s *Source) obtain(ctx context.Context, req renewalRequest) (*cachedToken, error) {
	if s.shared != nil {
		return s.shared.obtain(ctx, req)
	}
	return s.mintLocal(ctx, req)
}

// reasonToRenew returns the reason to renew tok, which may be nil.
func reasonToRenew(tok *cachedToken, now time.Time) reason {
	switch {
	case tok == nil:
		return reasonInitial
	case tok.phase(now) == refused:
		return reasonRejected
	default:
		return reasonExpired
	}
}

// finishRenewal installs the outcome of a renewal and wakes all callers that wait for it.
func (s *Source) finishRenewal(r *renewal, req renewalRequest, tok *cachedToken, err error, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)

	s.renewal = nil
	now := time.Now()
	switch {
	case s.background.Err() != nil:
		r.err = ErrClosed

	case err != nil:
		s.renewalFailed(req, err, now)
		r.err = s.asAuthError(opRenew, err, s.current.Load()).After(s.cool.remaining(now))

	case tok.id == s.lastRefused && !req.probe && reasonToRenew(s.current.Load(), now) == reasonRejected:
		// The server returned the refused token again. Do not install it.
		s.tripBreaker(now)
		r.err = s.cool.err.After(s.cool.remaining(now))
		s.metrics.countRenewal(req.reason, resultRejected)

	default:
		r.token = tok
		s.install(tok)
		s.renewalSucceeded(req, tok, now.Sub(began))
	}
}

// renewalSucceeded logs and counts a renewal that succeeded.
func (s *Source) renewalSucceeded(req renewalRequest, tok *cachedToken, took time.Duration) {
	result := resultOK
	if tok.foreign {
		result = resultAdopted
	}

	s.metrics.countRenewal(req.reason, result)
	s.log.Info().
		Str("reason", string(req.reason)).
		Str("result", string(result)).
		Str("fingerprint", tok.id).
		Uint64("generation", tok.generation).
		Stringer("lifetime", tok.life).
		Stringer("took", took).
		Msg("token renewed")
}

// renewalFailed logs and counts a failed renewal, and starts a cool-down. mu is held.
func (s *Source) renewalFailed(req renewalRequest, err error, now time.Time) {
	e := s.asAuthError(opRenew, err, s.current.Load())
	recorded, _ := errors.AsType[recordedError](err) // its revision is 0 if the shared record does not contain err
	s.cool.begin(now, e, recorded.revision, s.timing)
	s.recordError(e, now)

	event := s.log.Warn()
	if e.Permanent {
		s.watchCredential()
		event = s.log.Error()
	}

	s.metrics.countRenewal(req.reason, resultOf(e))
	event.Err(e).
		Str("reason", string(req.reason)).
		Stringer("pause", s.cool.remaining(now)).
		Bool("old_token_good", s.current.Load().servable(now)).
		Msg("cannot renew the token")
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
	s.recordError(e, now)
	s.metrics.breaker.Inc()
	s.log.Error().Stringer("cooldown", e.RetryAfter).Int("in_a_row", s.cool.breaks).Str("fingerprint", s.lastRefused).
		Msg("the service refused a fresh token; no token is requested until the cool-down ends")

	s.watchCredential()
	if s.shared != nil && !s.closed {
		id, e := s.lastRefused, *e
		s.wg.Go(func() {
			if v, ok := s.shared.reportRefused(s.background, id, e); ok {
				s.applyRefusal(id, v)
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
			case <-time.After(s.timing.credentialCheck):
			case <-s.background.Done():
				return
			}

			err := s.permanentRefusal()
			if err == nil {
				return
			}
			if s.credentialReplaced(s.background, err) {
				s.renewNow()
			}
		}
	})
}

// permanentRefusal returns the permanent error of the cool-down. If there is none, it returns nil
// and records that watchCredential ends.
func (s *Source) permanentRefusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.cool.remaining(time.Now()) == 0 || !s.cool.err.Permanent {
		s.watching = false
		return nil
	}

	return s.cool.err
}

// renewNow starts a renewal in the background, if one is needed and allowed.
func (s *Source) renewNow() {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	tok := s.current.Load()
	if !s.closed && s.renewal == nil && !tok.servable(now) && s.cool.remaining(now) == 0 {
		s.startRenewal(reasonToRenew(tok, now))
	}
}
