package auth

import (
	"context"
	"errors"
	"time"
)

// mended reports whether the credential was replaced since it was refused for the reason err:
// a secret's file holds another one, or somebody logged in. If so, the cool-down ends, because
// it was the old credential's.
func (s *Source) mended(ctx context.Context, err error) bool {
	if !errors.Is(err, ErrCredentialRejected) && !errors.Is(err, ErrReauthorize) {
		return false
	}
	if !s.reloadCredential(ctx) {
		return false
	}

	s.log.Info().Msg("the credential was replaced; requesting a token")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cool = cooldown{}
	s.lastErr = nil
	s.announce()
	return true
}

// reloadCredential reads again what the credential is made of and reports whether any of it is
// new. A secret that cannot be read, because it is being replaced, is the old one.
func (s *Source) reloadCredential(ctx context.Context) bool {
	secrets, _ := s.credential.reload()
	grants := s.grant.Reload(ctx)
	return secrets || grants
}

// watchCredential looks for a new credential until the cool-down ends, so that it ends at once
// when there is one, although nobody calls Token. mu is held.
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
			if s.mended(s.life, err) {
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

// renewNow starts a renewal that nobody waits for.
func (s *Source) renewNow() {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	h := s.current.Load()
	if !s.closed && s.renewal == nil && !h.servable(now) && s.cool.remaining(now) == 0 {
		s.launch(s.why(h, now))
	}
}
