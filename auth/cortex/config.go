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

// Config is a profile of the Cortex hub with its dependencies. Package auth fills it.
type Config struct {
	Name   string // of the profile: auth.<Name>
	Client oauth.Client
	Seal   seal.Credential

	Secret   *secret.File  // of the client
	CacheKey secret.Secret // key that seals the grant; unset: the client secret is used

	AuthorizeURL string
	RevokeURL    string
	InstanceID   string // opaque; "" until a login
	Region       string // a key of Regions; "" until a login
	PKCE         bool   // RFC 7636, which the hub does not document

	GrantFile string    // stores the refresh token; "": only Grants stores it
	Grants    kv.Bucket // stores the refresh token; nil: only GrantFile stores it

	Log           zerolog.Logger
	Hook          func(stage string) // called at each stage of storing a grant; nil outside tests
	BucketTimeout time.Duration      // limits one bucket call
	RetryDelay    time.Duration      // between attempts to store a refresh token
}

// Metrics are the counters of a Grant.
type Metrics struct {
	Requests prometheus.Counter // token requests
	Rolls    prometheus.Counter // refresh tokens that the server replaced
	Saves    prometheus.Counter // failed attempts to store a refresh token
}

// Regions are the API hosts by region. The hub's parameters always name the region.
var Regions = map[string]string{
	"americas": "api.us.cdl.paloaltonetworks.com",
	"europe":   "api.eu.cdl.paloaltonetworks.com",
}

// storeError wraps an error from storing or wiping the grant.
func (c Config) storeError(err error) error {
	return fmt.Errorf("auth.%s: storing the grant: %w", c.Name, err)
}
