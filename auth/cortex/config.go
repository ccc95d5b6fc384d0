package cortex

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
	"backburn/auth/internal/secret"
)

// Config is a profile of the Cortex hub and what works for it. Package auth fills it.
type Config struct {
	Name   string // of the profile: auth.<Name>
	Client oauth.Client
	Seal   seal.Credential

	Secret   *secret.File  // of the client
	CacheKey secret.Secret // seals the grant; unset: the client secret does

	AuthorizeURL string
	RevokeURL    string
	InstanceID   string // opaque; "" until a login
	Region       string // a key of Regions; "" until a login
	PKCE         bool   // RFC 7636, which the hub does not document

	GrantFile string    // "": the bucket alone
	Grants    kv.Bucket // nil: the file alone

	Log      zerolog.Logger
	Hook     func(stage string) // called at each stage of storing a grant; nil outside tests
	BucketOp time.Duration      // one call of the bucket
	Retry    time.Duration      // between attempts to store a refresh token
}

// Metrics count what a Grant does.
type Metrics struct {
	Requests prometheus.Counter // token requests
	Rolls    prometheus.Counter // refresh tokens that the server replaced
	Saves    prometheus.Counter // attempts to store one that failed
}

// Regions are the API hosts by region. The hub always says which region it is.
var Regions = map[string]string{
	"americas": "api.us.cdl.paloaltonetworks.com",
	"europe":   "api.eu.cdl.paloaltonetworks.com",
}

// storing says that storing or wiping the grant did not work.
func (c Config) storing(err error) error {
	return fmt.Errorf("auth.%s: storing the grant: %w", c.Name, err)
}
