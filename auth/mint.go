package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth/internal/oauth"
)

// opRenew is the operation in the errors of a renewal.
const opRenew = "renewing the token"

// maxSkew is how far this machine's clock and the issuer's may differ without a warning.
const maxSkew = 30 * time.Second

// minter requests tokens from the token endpoint, for one profile. Only the running renewal calls
// mint; all other methods are safe for concurrent use.
type minter struct {
	profile    Profile
	timing     timing
	log        zerolog.Logger
	metrics    *metrics
	credential credential
	grant      grant

	skew atomic.Int64 // nanoseconds; this machine's clock minus the issuer's
}

// mintLocal requests a token that is not shared.
func (m *minter) mintLocal(ctx context.Context, req renewalRequest) (*cachedToken, error) {
	t, err := m.mint(ctx)
	if err != nil {
		return nil, err
	}

	var generation uint64 = 1
	if req.current != nil {
		generation = req.current.generation + 1
	}

	return m.cacheToken(t, generation), nil
}

// cacheToken returns a new token as a cached token.
func (m *minter) cacheToken(t oauth.Minted, generation uint64) *cachedToken {
	return newCachedToken(t.Value, generation, t.Sent, t.Life.Duration, m.profile.preset().window)
}

// mint requests a token. If the credential is refused and the secret file has changed meanwhile, it
// tries again with the new secret.
func (m *minter) mint(ctx context.Context) (oauth.Minted, error) {
	if _, err := m.credential.reload(); err != nil {
		// While a secret file is being replaced it may be missing, so try the old secret.
		m.log.Warn().Err(err).Msg("cannot reload secret; using the old one")
	}

	t, err := m.grant.Mint(ctx)
	if errors.Is(err, ErrCredentialRejected) {
		if changed, _ := m.credential.client.Reload(); changed {
			m.log.Info().Msg("the client secret was replaced; trying the new one")
			t, err = m.grant.Mint(ctx)
		}
	}

	if err != nil {
		return oauth.Minted{}, err
	}

	m.checkToken(t)

	return t, nil
}

// checkToken warns about an invalid expires_in and a wrong clock, and records the clock skew.
func (m *minter) checkToken(t oauth.Minted) {
	if t.Life.Suspect {
		m.log.Warn().Stringer("lifetime", t.Life.Duration).Msg("the token endpoint returned an invalid expires_in")
	}
	if !t.Skewed {
		return
	}

	m.skew.Store(int64(t.Skew))
	if t.Skew.Abs() > maxSkew {
		m.log.Warn().Stringer("skew", t.Skew).Msg("this machine's clock differs from the token issuer's: check NTP")
	}
}

// clockSkew returns this machine's clock minus the token issuer's, as of the newest token.
func (m *minter) clockSkew() time.Duration { return time.Duration(m.skew.Load()) }

// asAuthError converts err to an *AuthError. The result contains no secret and not the current
// token, which may be nil.
func (m *minter) asAuthError(op string, err error, current *cachedToken) *AuthError {
	if e, ok := errors.AsType[*AuthError](err); ok {
		return e
	}
	e := &AuthError{Profile: m.profile.Name, Op: op, Class: ErrTemporary}
	e.Describe(err, oauth.NewScrubber(m.profile.ClientID, m.knownSecrets(current)...))

	return e
}

// knownSecrets lists the texts that errors must not contain.
func (m *minter) knownSecrets(current *cachedToken) []string {
	var out []string
	for _, f := range m.credential.files() {
		out = append(out, f.Get().Reveal())
	}
	if current != nil {
		out = append(out, current.value)
	}

	return out
}
