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
	reasonEarly    reason = "early"    // the token is in its renewal window
	reasonExpired  reason = "expired"  // the token has ended
	reasonRejected reason = "rejected" // a service refused the token
)

var reasons = []reason{reasonInitial, reasonEarly, reasonExpired, reasonRejected}

// renewal is one renewal under way. Its results may be read once done is closed.
type renewal struct {
	done  chan struct{}
	token *held
	err   error
}

// why returns why h, which may be nil, has to be renewed.
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
	r := &renewal{done: make(chan struct{})}
	w := want{reason: why, have: s.current.Load(), probe: s.cool.breaks > 0}
	s.renewal = r

	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.timing.renewal)
		defer cancel()

		began := time.Now()
		if w.reason == reasonRejected && !w.probe {
			_ = s.pace.Wait(ctx) // where that fails, obtain does too
		}
		h, err := s.obtain(ctx, w)
		s.land(r, w, h, err, began)
	})
}

// land installs the outcome of a renewal and wakes everybody who waits for it.
func (s *Source) land(r *renewal, w want, h *held, err error, began time.Time) {
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
		r.err = s.asAuthError(opRenew, err).After(s.cool.remaining(now))

	case h.id == s.lastRefused && !w.probe && s.why(s.current.Load(), now) == reasonRejected:
		// The server gave the refused token out again. It is not installed.
		s.trip(now)
		r.err = s.cool.err.After(s.cool.remaining(now))
		s.metrics.refreshed(w.reason, resultRejected)

	default:
		r.token = h
		s.install(h)
		s.renewed(w, h, now.Sub(began))
	}
}

// opRenew is what a renewal's errors say was being done.
const opRenew = "renewing the token"

// renewed logs and counts a renewal that succeeded.
func (s *Source) renewed(w want, h *held, took time.Duration) {
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

// failed starts a cool-down after a renewal that failed, logs and counts it. mu is held.
func (s *Source) failed(w want, err error, now time.Time) {
	e := s.asAuthError(opRenew, err)
	s.cool.note(now, e, revisionOf(err), s.timing)
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

// install makes h the current token. mu is held.
func (s *Source) install(h *held) {
	s.current.Store(h)
	s.endCooldown()
}

// endCooldown lets the token endpoint be asked again. mu is held.
func (s *Source) endCooldown() {
	s.cool.granted()
	s.lastErr = nil
	s.announce()
}

// noteError keeps what Status shows. mu is held.
func (s *Source) noteError(e *AuthError, now time.Time) {
	s.lastErr = e
	s.lastErrAt = now
}

// revisionOf returns the revision of the shared record that carries err; 0 where none does.
func revisionOf(err error) uint64 {
	var n recordedError
	if errors.As(err, &n) {
		return n.revision
	}
	return 0
}
