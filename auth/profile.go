package auth

import (
	"reflect"

	"backburn/auth/internal/oauth"
)

// Share says whether a Source uses one token for the whole fleet.
type Share string

// How a Source uses its Bucket. The zero value means Kind.DefaultShare, or ShareOff without a
// Bucket.
const (
	SharePrefer   Share = "prefer"   // one token for the fleet; while the bucket is unreachable, each process requests its own, at a low rate
	ShareRequired Share = "required" // one token for the fleet; no new tokens while the bucket is unreachable
	ShareOff      Share = "off"      // each process requests its own token
)

// The ways in which a client authenticates itself at a token endpoint. RFC 6749 section 2.3.1
// form-encodes the id and secret of Basic authentication; many servers do not decode them, so both
// encodings are available and none is guessed.
const (
	ClientAuthBasicRaw  = oauth.AuthBasicRaw  // base64(id:secret)
	ClientAuthBasicForm = oauth.AuthBasicForm // base64(form-encoded id:form-encoded secret), RFC 6749
	ClientAuthBody      = oauth.AuthBody      // client_id and client_secret in the body
)

// How the body of a token request is encoded.
const (
	BodyForm = oauth.BodyForm // application/x-www-form-urlencoded, RFC 6749
	BodyJSON = oauth.BodyJSON // application/json, what the vendor's own Cortex SDKs send
)

// Profile describes one credential. Fields that a kind does not use must be empty; see Kind.Keys.
// An empty TokenURL, ClientAuth, Body, Scope, AuthorizeURL or RevokeURL means the kind's own. Paths
// of secret files may be "cred:name", a systemd credential.
type Profile struct {
	Name string // the table's name in the configuration: auth.<Name>; labels metrics and logs
	Kind Kind   `toml:"kind" oneof:"wildfire data-security watchguard cortex api-key" doc:"Kind of credential: wildfire (service account of Strata Cloud Manager), data-security (SaaS Security), watchguard (WatchGuard Cloud), cortex (Cortex hub; log in with backburn login) or api-key (legacy API key). Without it, auth.wildfire is of the kind wildfire."`

	ClientID         string `toml:"client_id" example:"…" doc:"The client ID. WatchGuard calls it access ID."`
	ClientSecret     Secret `toml:"client_secret" doc:"The client secret, as exactly one ${NAME}. Or use client_secret_file."`
	ClientSecretFile string `toml:"client_secret_file" own:"secret" example:"/run/secrets/client" doc:"A file with the client secret, mode 0600, or cred:NAME for a systemd credential."`
	TSGID            string `toml:"tsg_id" example:"1234567890" doc:"The tenant service group, digits."`
	TokenURL         string `toml:"token_url" address:"true" doc:"URL for token requests. Empty: the default of the kind."`
	ClientAuth       string `toml:"client_auth" oneof:" basic-raw basic-form body" doc:"basic-raw, basic-form or body: how the client authenticates. Empty: the default of the kind."`
	Body             string `toml:"body" oneof:" form json" doc:"form or json: format of token requests. Empty: the default of the kind."`
	Scope            string `toml:"scope" example:"logging-service:read" doc:"Scope of the token. Empty: the default of the kind; cortex has none and needs a scope."`
	Audience         string `toml:"audience" doc:"Audience of the token, for access to a managed account of WatchGuard Cloud."`

	APIKeyFile string `toml:"api_key_file" own:"secret" example:"/run/secrets/api-key" doc:"A file with the API key, mode 0600."`
	URL        string `toml:"url" address:"true" doc:"Base URL of the API that the token is for. Empty: that of the region."`

	RedirectURL  string `toml:"redirect_url" address:"true" example:"http://127.0.0.1:8400/callback" doc:"URL to which the browser returns after the login."`
	AuthorizeURL string `toml:"authorize_url" address:"true" doc:"URL of the login page. Empty: the default of the kind."`
	RevokeURL    string `toml:"revoke_url" address:"true" doc:"URL for revoking the login. Empty: the default of the kind."`
	InstanceID   string `toml:"instance_id" doc:"The hub provides this and the region: see backburn login --params."`
	Region       string `toml:"region" doc:"Selects the hosts: us, eu, apac, uk, in1, au1, uk2, jp1 (data-security); usa, deu, jpn (watchguard); americas, europe (cortex)."`
	PKCE         bool   `toml:"pkce" doc:"Proof key for code exchange (RFC 7636)."`
	GrantFile    string `toml:"grant_file" own:"secret" example:"data/cortex.grant" doc:"File for the sealed refresh token, mode 0600."`

	CacheKeyFile string `toml:"cache_key_file" own:"secret" doc:"A file with one line of random text that seals shared tokens; read only at the start. Empty: derived from the secret."`
	Share        Share  `toml:"share" oneof:"prefer required off" doc:"prefer, required or off: whether the fleet shares one token, sealed in JetStream. cortex needs required, because its refresh token can be used only once."`
}

// fields calls each for every field of the profile that is a configuration key.
func (p Profile) fields(each func(key string, tag reflect.StructTag, value reflect.Value)) {
	for field, value := range reflect.ValueOf(p).Fields() {
		if key := field.Tag.Get("toml"); key != "" {
			each(key, field.Tag, value)
		}
	}
}
