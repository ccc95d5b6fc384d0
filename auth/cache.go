package auth

import "time"

// install makes tok the current token. mu is held.
func (s *Source) install(tok *cachedToken) {
	s.current.Store(tok)
	s.endCooldown()
}

// markAccepted records that the current token worked. If the loop breaker was opened for this
// token, its cool-down ends: another call with the token has succeeded. mu is held.
func (s *Source) markAccepted(tok *cachedToken) {
	tok.accepted.Store(true)
	s.refusedAt = time.Time{}
	s.cool.breaks = 0

	if s.cool.refused == tok.id {
		s.endCooldown()
	}
}

// endCooldown allows token requests again. mu is held.
func (s *Source) endCooldown() {
	s.cool.resetFailures()
	s.lastErr = nil
	s.announce()
}

// recordError records the error that Status shows. mu is held.
func (s *Source) recordError(e *AuthError, now time.Time) {
	s.lastErr = e
	s.lastErrAt = now
}

// announce wakes WaitReady. mu is held.
func (s *Source) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}
