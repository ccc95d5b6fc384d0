package auth

import (
	"context"
	"errors"
	"time"

	"backburn/auth/internal/oauth"
)

// maxSkew is how far this machine's clock and the issuer's may differ without a warning.
const maxSkew = 30 * time.Second

// want says what a renewal is for.
type want struct {
	reason reason
	have   *held // the current token, or nil
	probe  bool  // a cool-down for a refused token has ended: the same token may do now
}

// refused reports whether a token endpoint gave the token again that was just refused.
func (w want) refused(token string) bool {
	return w.have != nil && w.have.rejected.Load() && !w.probe && Fingerprint(token) == w.have.id
}

// obtain gets a token: the fleet's where it shares, its own otherwise.
func (s *Source) obtain(ctx context.Context, w want) (*held, error) {
	if s.shared != nil {
		return s.shared.obtain(ctx, w)
	}
	return s.mintLocal(ctx, w)
}

// mintLocal gets a token that is not shared.
func (s *Source) mintLocal(ctx context.Context, w want) (*held, error) {
	m, err := s.mint(ctx)
	if err != nil {
		return nil, err
	}

	var generation uint64 = 1
	if w.have != nil {
		generation = w.have.generation + 1
	}
	return s.hold(m, generation), nil
}

// hold makes a cached token of a new one.
func (s *Source) hold(m oauth.Minted, generation uint64) *held {
	return hold(m.Value, generation, m.Sent, m.Life.D, s.profile.preset().window)
}

// mint asks for one token, and once more where the refusal of the first request shows that the
// secret on disk is a newer one.
func (s *Source) mint(ctx context.Context) (oauth.Minted, error) {
	if _, err := s.credential.reload(); err != nil {
		// A secret that is being replaced may be missing for a moment: the old one is tried.
		s.log.Warn().Err(err).Msg("secret not read again")
	}

	m, err := s.grant.Mint(ctx)
	if errors.Is(err, ErrCredentialRejected) {
		if changed, _ := s.credential.client.Reload(); changed {
			s.log.Info().Msg("the client secret was replaced; trying the new one")
			m, err = s.grant.Mint(ctx)
		}
	}
	if err != nil {
		return oauth.Minted{}, err
	}
	s.observe(m)
	return m, nil
}

// observe notes what a token tells about the server and the clock.
func (s *Source) observe(m oauth.Minted) {
	if m.Life.Odd {
		s.log.Warn().Stringer("lifetime", m.Life.D).Msg("the token endpoint returned an invalid expires_in")
	}
	if !m.Skewed {
		return
	}

	s.mu.Lock()
	s.skew = m.Skew
	s.mu.Unlock()
	if m.Skew.Abs() > maxSkew {
		s.log.Warn().Stringer("skew", m.Skew).Msg("this machine's clock and the token issuer's differ: check NTP")
	}
}
