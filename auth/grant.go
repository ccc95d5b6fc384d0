package auth

import (
	"context"
	"time"

	"backburn/auth/cortex"
	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
	"backburn/auth/internal/secret"
)

// grant is how the tokens of one kind are got. Mint is called by one goroutine at a time,
// everything else by any.
type grant interface {
	// Mint makes one attempt to get a token. Its errors are *AuthError.
	Mint(ctx context.Context) (oauth.Minted, error)

	// Reload reports whether a newer grant is stored than those used or reported before.
	// Secret files are not its matter.
	Reload(ctx context.Context) bool

	// Generation counts the grants that are stored; 0 where there are none to store.
	Generation() uint64

	// Status says since when there is a grant, for kinds that store one.
	Status() cortex.Status

	// Close ends what runs in the background.
	Close()
}

// grantParts is what a grant is made of.
type grantParts struct {
	profile    Profile // with the addresses that the kind has by default
	client     oauth.Client
	sealed     seal.Credential
	credential credential
	metrics    *metrics // nil: a login or logout
	options    options
}

// constant is the part of a grant that stores nothing.
type constant struct{}

func (constant) Reload(context.Context) bool { return false }
func (constant) Generation() uint64          { return 0 }
func (constant) Status() cortex.Status       { return cortex.Status{} }
func (constant) Close()                      {}

// keyGrant has a key in place of tokens.
type keyGrant struct {
	constant
	key *secret.File
}

func (g keyGrant) Mint(context.Context) (oauth.Minted, error) {
	return oauth.Minted{Value: g.key.Get().Reveal(), Sent: time.Now()}, nil
}

func newKeyGrant(p grantParts) (grant, error) { return keyGrant{key: p.credential.client}, nil }

// clientGrant is the client credentials grant of RFC 6749 section 4.4.
type clientGrant struct {
	constant
	client  oauth.Client
	secret  *secret.File
	metrics *metrics
}

func (g clientGrant) Mint(ctx context.Context) (oauth.Minted, error) {
	g.metrics.requests.Inc()
	return g.client.ClientCredentials(ctx, g.secret.Get())
}

func newClientGrant(p grantParts) (grant, error) {
	return clientGrant{client: p.client, secret: p.credential.client, metrics: p.metrics}, nil
}
