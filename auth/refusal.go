package auth

import (
	"time"
)

// Rejected reports that a service answered 401 to token. It does nothing unless token is the
// current one, which is then not returned again.
//
// A token that worked before is renewed by the next Token. A token that never worked opens the loop
// breaker, because another one would probably fail too: during a cool-down, which doubles each
// time, no token is requested and Token returns ErrCredentialRejected. See Accepted.
func (s *Source) Rejected(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	h := s.current.Load()
	if h == nil || !h.matches(token) || h.rejected.Load() {
		return
	}

	h.rejected.Store(true)
	s.refuse(h, time.Now())
}

// Accepted reports that a service accepted token. If the token is refused later, the credential is
// known to be valid, and every process of the fleet renews the token at once. Only the first report
// about a token takes a lock. Without a call of Accepted, a token that is not refused within a
// minute counts as accepted.
func (s *Source) Accepted(token string) {
	h := s.current.Load()
	if h == nil || h.accepted.Load() || !h.matches(token) {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed || s.current.Load() != h || h.accepted.Load() {
		return
	}

	s.accept(h)
	if s.shared != nil {
		s.wg.Go(func() { s.shared.reportAccepted(s.life, h.id) })
	}
}

// refuse reacts to the refusal of the current token. mu is held.
func (s *Source) refuse(h *cachedToken, now time.Time) {
	age := h.age(now)
	aged := h.life > 0 && age >= h.renewAt // it may have expired in transit, or by the service's clock
	worked := h.accepted.Load() || age >= s.timing.freshFor
	again := !h.accepted.Load() && s.cool.breaks == 0 && s.refusedWithin(s.timing.inARow, now)

	s.lastReject = now
	s.lastRefused = h.id
	if !aged && (!worked || again) {
		s.tripBreaker(now)
		return
	}

	if worked {
		s.cool.breaks = 0
	}

	s.log.Info().Str("fingerprint", h.id).Uint64("generation", h.generation).
		Msg("token refused by the service, renewing")
}

// refusedWithin reports whether a token was refused less than d ago, with none accepted since.
func (s *Source) refusedWithin(d time.Duration, now time.Time) bool {
	return !s.lastReject.IsZero() && now.Sub(s.lastReject) < d
}
