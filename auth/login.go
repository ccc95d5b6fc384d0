package auth

import (
	"context"
	"errors"
	"fmt"

	"backburn/auth/cortex"
)

// NewLogin prepares a login for a profile of a kind that logs in. hub has the parameters that the
// hub appended to the app's URL (see cortex.ParseHubParams). They fill an empty instance_id and
// region of the profile; values that both contain must be equal.
func NewLogin(p Profile, hub cortex.HubParams, opts ...Option) (*cortex.Login, error) {
	c, err := loginConfig(p, opts)
	if err != nil {
		return nil, err
	}
	if err := c.Merge(hub); err != nil {
		return nil, err
	}
	if err := errors.Join(p.Validate(), c.Check()); err != nil {
		return nil, err
	}

	return cortex.NewLogin(c)
}

// Logout revokes and deletes the refresh token of a profile, see cortex.Logout.
func Logout(ctx context.Context, p Profile, opts ...Option) error {
	c, err := loginConfig(p, opts)
	if err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}

	return cortex.Logout(ctx, c)
}

// loginConfig prepares the configuration of a login without validating the profile.
func loginConfig(p Profile, opts []Option) (cortex.Config, error) {
	if !p.Kind.LogsIn() {
		return cortex.Config{}, fmt.Errorf("auth.%s: profiles of kind %q do not log in", p.Name, p.Kind)
	}
	c, err := openCredential(p, p.Kind.FormField())
	if err != nil {
		return cortex.Config{}, err
	}

	return cortexConfig(p.parts(c, nil, newOptions(opts))), nil
}
