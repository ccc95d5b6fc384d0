package auth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Kind is one of the systems whose credentials this package knows.
type Kind string

// The kinds, by what configuration calls them.
const (
	KindWildFire     Kind = "wildfire"      // Strata Cloud Manager service account: client credentials, scope tsg_id:<id>
	KindDataSecurity Kind = "data-security" // Data Security (SaaS Security) API: client credentials, regional hosts
	KindWatchGuard   Kind = "watchguard"    // WatchGuard Cloud: client credentials, and an API key on every call
	KindCortex       Kind = "cortex"        // Cortex hub: authorization code, then a refresh token that rolls
	KindAPIKey       Kind = "api-key"       // a WildFire key as before tokens, and the WF-500's: a form field, no Bearer
)

// Share says how much a Source insists on one token for the whole fleet.
type Share string

// How a Source uses its Bucket. The zero value means SharePrefer, and for KindCortex
// with a Bucket ShareRequired, because two processes that refresh one rolling grant at
// the same time can lose it.
const (
	SharePrefer   Share = "prefer"   // one for the fleet; each its own, slowly, while the bucket is away
	ShareRequired Share = "required" // one for the fleet; no new ones while the bucket is away
	ShareOff      Share = "off"      // each process its own
)

// The ways in which a client authenticates itself at a token endpoint. RFC 6749 section
// 2.3.1 form-encodes the id and secret of Basic authentication; many servers do not decode
// them, so both spellings exist and none is guessed.
const (
	ClientAuthBasicRaw  = "basic-raw"  // base64(id:secret)
	ClientAuthBasicForm = "basic-form" // base64(form-encoded id:form-encoded secret), RFC 6749
	ClientAuthBody      = "body"       // client_id and client_secret beside the grant
)

// How the body of a token request is encoded.
const (
	BodyForm = "form" // application/x-www-form-urlencoded, RFC 6749
	BodyJSON = "json" // application/json, what the vendor's own Cortex SDKs send
)

// Profile describes one credential. Fields that a kind has no use for are left empty.
// Paths of secret files may be "cred:name", a systemd credential.
type Profile struct {
	Name string // the table's name in the configuration: auth.<Name>; labels metrics and logs
	Kind Kind

	ClientID         string
	ClientSecret     Secret // or:
	ClientSecretFile string // read again before every token request
	TSGID            string // KindWildFire: tenant service group, digits
	TokenURL         string // empty: the kind's own
	ClientAuth       string // empty: the kind's own
	Body             string // BodyForm (default) or BodyJSON
	Scope            string // empty: the kind's own
	Audience         string // KindWatchGuard: managed account, see LookupAudience

	APIKeyFile string // KindWatchGuard: WatchGuard-API-Key; KindAPIKey: the key itself
	URL        string // base of the API; its host is one of those that get the token

	RedirectURL  string // KindCortex: where the browser comes back to
	AuthorizeURL string // empty: the kind's own
	RevokeURL    string // empty: the kind's own
	InstanceID   string // KindCortex, from the hub's params; opaque
	Region       string // KindCortex, from the hub; KindDataSecurity and KindWatchGuard: picks the hosts
	PKCE         bool   // KindCortex: RFC 7636, which the hub does not document
	GrantFile    string // KindCortex: the refresh token, sealed

	CacheKeyFile string // random key that seals shared and stored tokens; empty: derived from the client secret
	Share        Share
}

// Validate reports everything that is wrong with p, joined, each problem naming its
// configuration key. It reads no files.
func (p Profile) Validate() error {
	v := validator{profile: p}
	v.common()
	switch p.Kind {
	case KindWildFire:
		v.client()
		v.require("tsg_id", p.TSGID)
		if p.TSGID != "" && strings.Trim(p.TSGID, "0123456789") != "" {
			v.add("tsg_id", "%q is not a number", p.TSGID)
		}
	case KindDataSecurity:
		v.client()
		v.region(dataSecurityHosts)
	case KindWatchGuard:
		v.client()
		v.region(watchGuardHosts)
		v.require("api_key_file", p.APIKeyFile)
	case KindCortex:
		v.client()
		v.require("scope", p.Scope)
		if p.Region != "" {
			v.region(cortexHosts)
		}
	case KindAPIKey:
		v.require("api_key_file", p.APIKeyFile)
	case "":
		v.add("kind", "is required: %s", kindList)
	default:
		v.add("kind", "%q is none of %s", p.Kind, kindList)
	}
	return errors.Join(v.problems...)
}

const kindList = "wildfire, data-security, watchguard, cortex, api-key"

type validator struct {
	profile  Profile
	problems []error
}

func (v *validator) add(key, format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("auth.%s.%s: %w", v.profile.Name, key, fmt.Errorf(format, args...)))
}

func (v *validator) require(key, value string) {
	if value == "" {
		v.add(key, "is required for kind %q", v.profile.Kind)
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		v.add(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

// common checks what does not depend on the kind.
func (v *validator) common() {
	p := v.profile
	if p.Name == "" {
		v.problems = append(v.problems, errors.New("auth: a profile needs a name"))
	}
	v.oneOf("client_auth", p.ClientAuth, ClientAuthBasicRaw, ClientAuthBasicForm, ClientAuthBody)
	v.oneOf("body", p.Body, BodyForm, BodyJSON)
	v.oneOf("share", string(p.Share), string(SharePrefer), string(ShareRequired), string(ShareOff))
	v.endpoint("token_url", p.TokenURL)
	v.endpoint("url", p.URL)
	v.endpoint("redirect_url", p.RedirectURL)
	v.endpoint("authorize_url", p.AuthorizeURL)
	v.endpoint("revoke_url", p.RevokeURL)
	if p.Body == BodyJSON && p.Kind != KindCortex && p.Kind != "" {
		v.add("body", "json is understood by kind %q only", KindCortex)
	}
}

// client checks the id and the secret of an OAuth client.
func (v *validator) client() {
	p := v.profile
	v.require("client_id", p.ClientID)
	switch {
	case p.ClientSecret.IsSet() && p.ClientSecretFile != "":
		v.add("client_secret", "and client_secret_file are both set: keep one")
	case !p.ClientSecret.IsSet() && p.ClientSecretFile == "":
		v.add("client_secret_file", "is required for kind %q (or client_secret = \"${NAME}\")", p.Kind)
	}
	if strings.ContainsRune(p.ClientID, ':') && v.profile.clientAuth() == ClientAuthBasicRaw {
		v.add("client_id", "holds a colon, which basic-raw cannot carry: set client_auth")
	}
}

// region checks that a region is known: another region is another host, never a default.
func (v *validator) region(hosts map[string]string) {
	p := v.profile
	if _, known := hosts[p.Region]; !known && (p.TokenURL == "" || p.Region != "") {
		v.add("region", "%q is none of %s", p.Region, regionList(hosts))
	}
}

// endpoint checks an absolute URL: https, or http to this machine; nothing in it that
// would have to be kept secret.
func (v *validator) endpoint(key, raw string) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		v.add(key, "is not a URL") // the parser's error would repeat the text, user part and all
	case u.User != nil:
		v.add(key, "must not hold credentials")
	case u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		v.add(key, "must be an absolute https URL")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.add(key, "must be https, because credentials travel to it (http is for loopback only)")
	case u.Fragment != "":
		v.add(key, "must not hold a fragment")
	}
}

// loopback reports whether host is this machine, by name or address, without a look-up.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
