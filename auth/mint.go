package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth/internal/oauth"
)

// opRenew is what a renewal's errors say was being done.
const opRenew = "renewing the token"

// maxSkew is how far this machine's clock and the issuer's may differ without a warning.
const maxSkew = 30 * time.Second

// minter gets tokens from the token endpoint, for one profile. Only the renewal that runs calls
// mint; everything else is safe for concurrent use.
type minter struct {
	profile    Profile
	timing     timing
	log        zerolog.Logger
	metrics    *metrics
	credential credential
	grant      grant

	skew atomic.Int64 // nanoseconds; this machine's clock minus the issuer's
}

// mintLocal gets a token that is not shared.
func (m *minter) mintLocal(ctx context.Context, w want) (*held, error) {
	t, err := m.mint(ctx)
	if err != nil {
		return nil, err
	}

	var generation uint64 = 1
	if w.have != nil {
		generation = w.have.generation + 1
	}
	return m.hold(t, generation), nil
}

// hold makes a cached token of a new one.
func (m *minter) hold(t oauth.Minted, generation uint64) *held {
	return hold(t.Value, generation, t.Sent, t.Life.D, m.profile.preset().window)
}

// mint asks for one token, and once more where the refusal of the first request shows that the
// secret on disk is a newer one.
func (m *minter) mint(ctx context.Context) (oauth.Minted, error) {
	if _, err := m.credential.reload(); err != nil {
		// A secret that is being replaced may be missing for a moment: the old one is tried.
		m.log.Warn().Err(err).Msg("secret not read again")
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
	m.observe(t)
	return t, nil
}

// observe notes what a token tells about the server and the clock.
func (m *minter) observe(t oauth.Minted) {
	if t.Life.Odd {
		m.log.Warn().Stringer("lifetime", t.Life.D).Msg("the token endpoint returned an invalid expires_in")
	}
	if !t.Skewed {
		return
	}

	m.skew.Store(int64(t.Skew))
	if t.Skew.Abs() > maxSkew {
		m.log.Warn().Stringer("skew", t.Skew).Msg("this machine's clock and the token issuer's differ: check NTP")
	}
}

// clockSkew returns this machine's clock minus the token issuer's, as of the newest token.
func (m *minter) clockSkew() time.Duration { return time.Duration(m.skew.Load()) }

// asAuthError returns err as this package's error type. It never shows a secret, nor the token
// current, which may be nil.
func (m *minter) asAuthError(op string, err error, current *held) *AuthError {
	var e *AuthError
	if errors.As(err, &e) {
		return e
	}
	e = &AuthError{Profile: m.profile.Name, Op: op, Class: ErrTemporary}
	e.Describe(err, oauth.NewScrubber(m.profile.ClientID, m.knownSecrets(current)...))
	return e
}

// knownSecrets lists what must never show.
func (m *minter) knownSecrets(current *held) []string {
	var out []string
	for _, f := range m.credential.files() {
		out = append(out, f.Get().Reveal())
	}
	if current != nil {
		out = append(out, current.value)
	}
	return out
}
