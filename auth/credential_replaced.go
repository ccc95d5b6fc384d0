package auth

import (
	"context"
	"errors"
)

// credentialReplaced reports whether the credential that was refused with err has been replaced: a
// secret file has changed, or somebody logged in. If so, it ends the cool-down, which was about the
// old credential.
func (s *Source) credentialReplaced(ctx context.Context, err error) bool {
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

// reloadCredential reads the secrets and the grant again, and reports whether any of them is new. A
// secret that is unreadable, for example while it is being replaced, counts as unchanged.
func (s *Source) reloadCredential(ctx context.Context) bool {
	secrets, _ := s.credential.reload()
	grants := s.grant.Reload(ctx)
	return secrets || grants
}
