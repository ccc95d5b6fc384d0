package auth

import (
	"context"
	"errors"
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
