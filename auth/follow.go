package auth

import "time"

// follow applies a record that another process may have changed: its token, whether the token
// worked, and the end of a cool-down. h is the record's token, or nil.
func (s *Source) follow(v view, h *cachedToken) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return
	}

	if h != nil {
		s.learnAccepted(h)
		if v.Rejected != h.id {
			s.adopt(h)
		}
	}

	if s.cool.revision != 0 && v.revision > s.cool.revision && v.Cooldown.remaining(s.shared.wall()) == 0 {
		s.endCooldown()
	}
}

// refusalShared applies the record's data about a fresh token that was refused here. Another
// process may have recorded that the token worked.
func (s *Source) refusalShared(id string, v view) {
	s.mu.Lock()
	defer s.mu.Unlock()

	h := s.current.Load()
	switch {
	case h == nil || h.id != id:
	case v.Worked && !h.accepted.Load():
		s.accept(h)
	case s.cool.refused == id:
		s.cool.revision = v.revision
	}
}

// learnAccepted marks the current token as accepted if another process has recorded that in h,
// which holds the same token. mu is held.
func (s *Source) learnAccepted(h *cachedToken) {
	cur := s.current.Load()
	if cur != nil && cur.id == h.id && h.accepted.Load() && !cur.accepted.Load() {
		s.accept(cur)
	}
}

// adopt makes a token of the fleet the current one if it is better. mu is held.
func (s *Source) adopt(h *cachedToken) {
	now := time.Now()
	if h.phase(now) != fresh || h.id == s.lastRefused {
		return
	}

	cur := s.current.Load()
	if cur.servable(now) && (cur.id == h.id || !h.outlives(cur)) {
		return
	}

	s.install(h)
	s.log.Debug().Str("fingerprint", h.id).Uint64("generation", h.generation).Msg("using the fleet's token")
}
