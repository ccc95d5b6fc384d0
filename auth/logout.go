package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Logout revokes the stored refresh token of a KindCortex profile at the vendor, and wipes
// it here whether or not that succeeded: the file and the bucket then say that nobody is
// logged in. It is no error when nobody was. Access tokens that are out live on until they
// end, which the vendor gives no way to change.
func Logout(ctx context.Context, p Profile, opts ...Option) error {
	if p.Kind != KindCortex {
		return fmt.Errorf("auth.%s: a logout is for kind %q", p.Name, KindCortex)
	}
	if err := p.Validate(); err != nil {
		return err
	}
	g, secret, store, log, err := loginParts(p, opts)
	if err != nil {
		return err
	}
	unlock, err := store.lock(ctx)
	if err != nil {
		return fmt.Errorf("auth.%s: wiping the grant: %w", p.Name, err)
	}
	defer unlock()
	r, loadErr := store.load(ctx)
	if errors.Is(loadErr, errNoGrant) {
		return nil
	}
	var revokeErr error
	if loadErr == nil {
		revokeErr = g.revoke(ctx, secret.get(), r.Token)
	}
	gone := grantRecord{Generation: store.newest(ctx) + 1, Instance: r.Instance, Region: r.Region, Obtained: time.Now().UnixMilli()}
	if err := store.save(ctx, gone); err != nil {
		return errors.Join(revokeErr, fmt.Errorf("auth.%s: wiping the grant: %w", p.Name, err))
	}
	log.Info().Bool("revoked", loadErr == nil && revokeErr == nil).Msg("logged out")
	return revokeErr
}

// revoke ends a refresh token at the vendor: RFC 7009, but with "issuccess" in the answer, and
// in JSON unless the profile asks for a form, because the vendor's own clients send JSON.
func (g grants) revoke(ctx context.Context, secret Secret, token string) error {
	g.profile.Body = cmp.Or(g.profile.Body, BodyJSON)
	return g.form(ctx, "revocation", g.profile.revokeURL(), secret,
		url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}, token)
}

// newest returns the highest generation that can be read, 0 where there is none.
func (g *grantStore) newest(ctx context.Context) uint64 {
	var n uint64
	for _, place := range g.places() {
		if sealed, err := place.read(ctx); err == nil {
			if r, _, err := g.unseal(place.name, sealed); err == nil {
				n = max(n, r.Generation)
			}
		}
	}
	return n
}
