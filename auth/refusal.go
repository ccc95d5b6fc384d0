package auth

import (
	"time"
)

// Rejected reports that a service answered 401 to token. It does nothing unless token is the
// current one, which is then not returned again.
//
// A token that worked before, or is about to expire, is renewed by the next Token. A token that
// never worked opens the loop breaker, because another one would probably fail too: during a
// cool-down, which doubles each time, no token is requested and Token returns
// ErrCredentialRejected. The second refusal within five minutes opens it too, if no token was
// accepted in between. See Accepted.
func (s *Source) Rejected(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	tok := s.current.Load()
	if tok == nil || !tok.matches(token) || tok.rejected.Load() {
		return
	}

	tok.rejected.Store(true)
	s.handleRefusal(tok, time.Now())
}

// Accepted reports that a service accepted token. If the token is refused later, the credential is
// known to be valid, and every process of the fleet renews the token at once. Only the first report
// about a token takes a lock. Without a call of Accepted, a token that is not refused within a
// minute counts as accepted.
func (s *Source) Accepted(token string) {
	tok := s.current.Load()
	if tok == nil || tok.accepted.Load() || !tok.matches(token) {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed || s.current.Load() != tok || tok.accepted.Load() {
		return
	}

	s.markAccepted(tok)
	if s.shared != nil {
		s.wg.Go(func() { s.shared.reportAccepted(s.background, tok.id) })
	}
}

// handleRefusal opens the loop breaker if the refused token was never valid. Otherwise it leaves
// the renewal to the next Token. mu is held.
func (s *Source) handleRefusal(tok *cachedToken, now time.Time) {
	age := tok.age(now)
	aged := tok.life > 0 && age >= tok.renewAt // it may have expired on the way, or by the service's clock
	worked := tok.accepted.Load() || age >= s.timing.freshFor

	// A second refusal soon after the first, and no token was accepted in between.
	repeated := !tok.accepted.Load() && s.cool.breaks == 0 &&
		!s.refusedAt.IsZero() && now.Sub(s.refusedAt) < s.timing.repeatWindow

	s.refusedAt = now
	s.lastRefused = tok.id
	if !aged && (!worked || repeated) {
		s.tripBreaker(now)
		return
	}

	if worked {
		s.cool.breaks = 0
	}

	s.log.Info().Str("fingerprint", tok.id).Uint64("generation", tok.generation).
		Msg("the service refused the token; the next call renews it")
}
