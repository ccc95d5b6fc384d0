package auth

import (
	"context"
	"time"

	"backburn/auth/cortex"
	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
	"backburn/auth/internal/secret"
)

// grant gets the tokens of one kind. Only one goroutine at a time calls Mint; all other methods are
// safe for concurrent use.
type grant interface {
	// Mint makes one attempt to get a token. Its errors are *AuthError.
	Mint(ctx context.Context) (oauth.Minted, error)

	// Reload reports whether a newer grant is stored than those used or reported before. It does
	// not read secret files.
	Reload(ctx context.Context) bool

	// Generation returns the number of the newest stored grant; 0 for kinds that store none.
	Generation() uint64

	// Status describes the stored grant, for kinds that store one.
	Status() cortex.Status

	// Close stops the background work.
	Close()
}

// grantParts are the dependencies of a grant.
type grantParts struct {
	profile    Profile // with the default addresses of the kind
	client     oauth.Client
	sealed     seal.Credential
	credential credential
	metrics    *metrics // nil for a login or logout
	options    options
}

// constant has the methods of a grant that stores nothing.
type constant struct{}

func (constant) Reload(context.Context) bool { return false }
func (constant) Generation() uint64          { return 0 }
func (constant) Status() cortex.Status       { return cortex.Status{} }
func (constant) Close()                      {}

// keyGrant returns an API key instead of tokens.
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
