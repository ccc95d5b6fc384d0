package auth

import "time"

// install makes h the current token. mu is held.
func (s *Source) install(h *held) {
	s.current.Store(h)
	s.endCooldown()
}

// accept records that the current token worked. It ends the cool-down of a breaker that was
// opened for this very token: the call that was refused overtook one that was not. mu is held.
func (s *Source) accept(h *held) {
	h.worked.Store(true)
	s.lastReject = time.Time{}
	s.cool.breaks = 0

	if s.cool.refused == h.id {
		s.endCooldown()
	}
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

// announce wakes WaitReady. mu is held.
func (s *Source) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}
