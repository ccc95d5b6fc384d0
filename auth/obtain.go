package auth

import (
	"context"
	"time"
)

// want says what a renewal is for.
type want struct {
	reason reason
	have   *held // the current token, or nil
	probe  bool  // a cool-down for a refused token has ended: the same token may do now
}

// obtain gets a token: the fleet's where it shares, its own otherwise.
func (s *Source) obtain(ctx context.Context, w want) (*held, error) {
	if s.shared != nil {
		return s.shared.obtain(ctx, w)
	}
	return s.mintLocal(ctx, w)
}

// mintLocal asks the token endpoint and makes a cached token of the answer.
func (s *Source) mintLocal(ctx context.Context, w want) (*held, error) {
	m, err := s.mint(ctx)
	if err != nil {
		return nil, err
	}
	var generation uint64 = 1
	if w.have != nil {
		generation = w.have.generation + 1
	}
	return hold(m.value, generation, m.sent, m.life.d, s.preset.window), nil
}

// mint performs the grant of the kind: one token request, two where the first shows that
// the secret on disk is a newer one.
func (s *Source) mint(ctx context.Context) (minted, error) {
	if _, err := s.reloadSecrets(); err != nil {
		// A secret that is being replaced may be missing for a moment: the old one is tried.
		s.log.Warn().Err(err).Msg("secret not read again")
	}
	secret := s.secret.get()
	m, err := s.grant(ctx, secret)
	if e := s.permanent(err); e != nil && e.class == ErrCredentialRejected {
		if changed, _ := s.secret.reload(); changed {
			s.log.Info().Msg("the client secret was replaced, trying the new one")
			m, err = s.grant(ctx, s.secret.get())
		}
	}
	if err != nil {
		return minted{}, err
	}
	s.observe(m)
	return m, nil
}

func (s *Source) permanent(err error) *AuthError {
	if err == nil {
		return nil
	}
	if e := s.asAuthError("renewing the token", err); e.Permanent {
		return e
	}
	return nil
}

// grant performs one grant.
func (s *Source) grant(ctx context.Context, secret Secret) (minted, error) {
	switch s.profile.Kind {
	case KindAPIKey:
		return minted{value: secret.Reveal(), sent: time.Now()}, nil
	case KindCortex:
		return s.refreshGrant(ctx, secret)
	default:
		s.metrics.requests.Inc()
		return s.grants.clientCredentials(ctx, secret)
	}
}

// observe notes what a token tells about the server and the clock.
func (s *Source) observe(m minted) {
	if m.life.odd {
		s.log.Warn().Dur("lifetime", m.life.d).Msg("the token endpoint gave an odd expires_in")
	}
	if !m.skewed {
		return
	}
	s.mu.Lock()
	s.skew = m.skew
	s.mu.Unlock()
	if m.skew.Abs() > 30*time.Second {
		s.log.Warn().Dur("skew", m.skew).Msg("this machine's clock and the token issuer's differ: check NTP")
	}
}
