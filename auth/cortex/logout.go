package cortex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"backburn/auth/internal/oauth"
	"backburn/auth/internal/secret"
)

// Logout revokes the stored refresh token at the hub, and wipes the file and the bucket even if the
// revocation fails or the token cannot be read. In both cases it returns an error. A copy that
// cannot be wiped is only logged, if the other one was wiped. If nobody is logged in, Logout
// returns nil. Issued access tokens stay valid until they expire, because the hub cannot revoke
// them.
func Logout(ctx context.Context, c Config) error {
	s, err := newStore(c)
	if err != nil {
		return err
	}

	unlock, err := s.lock(ctx)
	if err != nil {
		return c.storeError(err)
	}
	defer unlock()

	r, loadErr := s.load(ctx)
	if errors.Is(loadErr, ErrNoGrant) {
		return nil
	}

	var revokeErr error
	if loadErr == nil {
		revokeErr = c.revoke(ctx, secret.New(r.Token))
	} else {
		revokeErr = fmt.Errorf("auth.%s: the refresh token cannot be read, so it was not revoked: %w", c.Name, loadErr)
	}

	empty := record{
		Generation: s.newestStored(ctx) + 1,
		Instance:   r.Instance,
		Region:     r.Region,
		Obtained:   time.Now().UnixMilli(),
	}
	if err := s.save(ctx, empty); err != nil {
		return errors.Join(revokeErr, c.storeError(err))
	}

	c.Log.Info().Bool("revoked", revokeErr == nil).Msg("logged out")

	return revokeErr
}

// revoke sends JSON unless the profile asks for a form, because the vendor's own clients do.
func (c Config) revoke(ctx context.Context, token secret.Secret) error {
	client := c.Client
	client.Body = cmp.Or(client.Body, oauth.BodyJSON)
	return client.Revoke(ctx, c.RevokeURL, c.Secret.Get(), token)
}
