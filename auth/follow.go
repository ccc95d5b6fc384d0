package auth

import "time"

// applyRecord applies a record that another process may have changed: its token, whether the token
// worked, and the end of a cool-down. tok is the record's token, or nil.
func (s *Source) applyRecord(v view, tok *cachedToken) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return
	}

	if tok != nil {
		s.applyAccepted(tok)
		if v.Rejected != tok.id {
			s.adopt(tok)
		}
	}

	if s.cool.revision != 0 && v.revision > s.cool.revision && v.Cooldown.remaining(s.shared.wall()) == 0 {
		s.endCooldown()
	}
}

// applyRefusal applies the record's data about a fresh token that was refused here. Another
// process may have recorded that the token worked.
func (s *Source) applyRefusal(id string, v view) {
	s.mu.Lock()
	defer s.mu.Unlock()

	tok := s.current.Load()
	switch {
	case tok == nil || tok.id != id:
	case v.Worked && !tok.accepted.Load():
		s.markAccepted(tok)
	case s.cool.refused == id:
		s.cool.revision = v.revision
	}
}

// applyAccepted marks the current token as accepted if another process has recorded that in tok,
// which holds the same token. mu is held.
func (s *Source) applyAccepted(tok *cachedToken) {
	cur := s.current.Load()
	if cur != nil && cur.id == tok.id && tok.accepted.Load() && !cur.accepted.Load() {
		s.markAccepted(cur)
	}
}

// adopt makes a token of the fleet the current one if it is better. mu is held.
func (s *Source) adopt(tok *cachedToken) {
	now := time.Now()
	if tok.phase(now) != fresh || tok.id == s.lastRefused {
		return
	}

	cur := s.current.Load()
	if cur.servable(now) && (cur.id == tok.id || !tok.outlives(cur)) {
		return
	}

	s.install(tok)
	s.log.Debug().Str("fingerprint", tok.id).Uint64("generation", tok.generation).Msg("using the fleet's token")
}
