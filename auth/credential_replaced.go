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
	secrets, _ := s.credential.reload() // an unreadable secret, such as one that is being replaced, is unchanged
	grants := s.grant.Reload(ctx)
	if !secrets && !grants {
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
