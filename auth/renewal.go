package auth

import (
	"context"
	"errors"
	"time"
)

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
		if w.reason == reasonRejected && !w.probe {
			_ = s.pace.Wait(ctx) // where that fails, obtain does too
		}
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
		s.failed(w, e, revisionOf(err), now)
		f.err = e.After(s.cool.remaining(now))
	case h.id == s.lastRefused && !w.probe && s.why(s.current.Load(), now) == reasonRejected:
		// The server gave the refused token out again. It is not installed.
		s.trip(now)
		f.err = s.cool.err.After(s.cool.remaining(now))
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
func (s *Source) failed(w want, e *AuthError, revision uint64, now time.Time) {
	s.cool.note(now, e, revision, s.timing)
	s.noteError(e, now)
	if e.Permanent {
		s.watchCredential()
	}
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
	s.announce()
}

// endCooldown lets the token endpoint be asked again before the time. mu is held.
func (s *Source) endCooldown() {
	s.cool.granted()
	s.lastErr = nil
	s.announce()
}

func (s *Source) noteError(e *AuthError, now time.Time) { s.lastErr, s.lastErrAt = e, now }

// revisionOf returns the revision of the shared record that carries err; 0 where none does.
func revisionOf(err error) uint64 {
	var n noted
	if errors.As(err, &n) {
		return n.revision
	}
	return 0
}
