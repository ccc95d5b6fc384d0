package auth

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
)

// Kind is one of the systems whose credentials this package knows.
type Kind string

// The kinds, by what configuration calls them. What is special about each is in its preset.
const (
	KindWildFire     Kind = "wildfire"      // Strata Cloud Manager service account: client credentials, scope tsg_id:<id>
	KindDataSecurity Kind = "data-security" // Data Security (SaaS Security) API: client credentials, regional hosts
	KindWatchGuard   Kind = "watchguard"    // WatchGuard Cloud: client credentials, and an API key on every call
	KindCortex       Kind = "cortex"        // Cortex hub: authorization code, then a refresh token that rolls
	KindAPIKey       Kind = "api-key"       // a WildFire key as before tokens, and the WF-500's: a form field, no Bearer
)

// preset is all that is special about a kind.
type preset struct {
	grant func(grantParts) (grant, error)

	keys     []string          // of the configuration, besides "kind"
	required []string          // of keys; "client_secret" stands for either way to give it
	login    []string          // keys that a login needs besides
	regions  map[string]string // API hosts by region; "" is the default
	hosts    []string          // API hosts where there is no region; a leading dot stands for any subdomain
	vendor   string            // domain of the vendor's token endpoints
	check    func(*validator)  // rules of the kind's own
	warn     func(Profile) []string

	clientAuth   string
	tokenURL     string // "": tokenPath at the API's host
	authorizeURL string
	revokeURL    string
	scope        func(Profile) string // default scope; nil: none

	lifetime   time.Duration // of a token whose answer has no expires_in; 0: it does not expire
	window     time.Duration // a token is renewed this long before its end, at most
	badRequest bool          // every 400 of the token endpoint means bad credentials
	guessable  bool          // people choose the client secret

	unshared  bool  // there is nothing to share
	share     Share // unless the profile says otherwise
	logsIn    bool  // an administrator has to log in
	formField bool  // the token is the value of a form field, not a bearer token
	apiKey    bool  // api_key_file goes with every call as WatchGuard-API-Key

	clientHint  string // what to check when the token endpoint refuses the client
	scopeHint   string // and when it refuses the scope
	refusedHint string // and when the service refuses a fresh token
	grantHint   func(Profile) string
}

const tokenPath = "/oauth/token"

var presets = map[Kind]preset{
	KindWildFire:     wildFire,
	KindDataSecurity: dataSecurity,
	KindWatchGuard:   watchGuard,
	KindCortex:       cortexHub,
	KindAPIKey:       apiKey,
}

// Kinds lists the kinds in the order of their names.
func Kinds() []Kind { return slices.Sorted(maps.Keys(presets)) }

// Keys lists the configuration keys that a profile of the kind may have, besides "kind"; none
// for a kind that is not known.
func (k Kind) Keys() []string { return slices.Clone(presets[k].keys) }

// Required lists the keys that a profile of the kind has to have in a configuration;
// "client_secret" stands for either way to give it. Validate asks for fewer: what only a login
// needs may come with it.
func (k Kind) Required() []string { return slices.Concat(presets[k].required, presets[k].login) }

// LogsIn reports whether an administrator has to log in before there are tokens.
func (k Kind) LogsIn() bool { return presets[k].logsIn }

// FormField reports whether what Token returns is the value of a form field, which its client
// adds, and not a bearer token.
func (k Kind) FormField() bool { return presets[k].formField }

// DefaultShare returns how a profile of the kind shares tokens unless it says otherwise; ""
// where there is nothing to share.
func (k Kind) DefaultShare() Share {
	if presets[k].unshared {
		return ""
	}
	return cmp.Or(presets[k].share, SharePrefer)
}

// Shares reports whether the profile shares tokens with other processes.
func (p Profile) Shares() bool { return !p.preset().unshared && p.Share != ShareOff }

// KindsWith lists the kinds that have a configuration key, in the order of their names.
func KindsWith(key string) []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !slices.Contains(presets[k].keys, key) })
}

// KindList joins the names of kinds for a message.
func KindList(kinds []Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func (p Profile) preset() preset { return presets[p.Kind] }

// oauthKeys are the keys of a kind that is an OAuth client, with those that are its own.
func oauthKeys(own ...string) []string {
	common := []string{
		"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "cache_key_file", "share",
	}
	return append(common, own...)
}

func (p Profile) clientAuth() string { return cmp.Or(p.ClientAuth, p.preset().clientAuth) }

// tokenURL returns where tokens are asked for.
func (p Profile) tokenURL() string {
	return cmp.Or(p.TokenURL, p.preset().tokenURL, p.apiURL()+tokenPath)
}

// apiURL returns the base of the API, without a slash at its end; "" where none is known.
func (p Profile) apiURL() string {
	if p.URL != "" {
		return strings.TrimRight(p.URL, "/")
	}
	if host := p.preset().regions[p.Region]; host != "" {
		return "https://" + host
	}
	return ""
}

// scope returns the scope to ask for. What is granted may be wider and is not compared.
func (p Profile) scope() string {
	if p.Scope == "" && p.preset().scope != nil {
		return p.preset().scope(p)
	}
	return p.Scope
}

// client returns the OAuth client of the profile.
func (p Profile) client(o options) oauth.Client {
	ps := p.preset()
	hints := oauth.Hints{
		Client: "check client_id and client_secret" + ps.clientHint,
		Scope:  cmp.Or(ps.scopeHint, "check scope and the roles of the account"),
		Grant:  "check client_id and client_secret",
	}
	if ps.grantHint != nil {
		hints.Grant = ps.grantHint(p)
	}
	return oauth.Client{
		Profile:     p.Name,
		ID:          p.ClientID,
		Auth:        p.clientAuth(),
		Body:        p.Body,
		TokenURL:    p.tokenURL(),
		Scope:       p.scope(),
		Audience:    p.Audience,
		RedirectURL: p.RedirectURL,
		Lifetime:    ps.lifetime,
		BadRequest:  ps.badRequest,
		Hints:       hints,
		Transport:   o.transport,
		UserAgent:   o.userAgent,
	}
}

// sealed returns what sealed values of the profile are bound to.
func (p Profile) sealed() seal.Credential {
	return seal.Credential{
		Kind:       string(p.Kind),
		TokenURL:   p.tokenURL(),
		ClientID:   p.ClientID,
		Scope:      p.scope(),
		Audience:   p.Audience,
		InstanceID: p.InstanceID,
		Guessable:  p.preset().guessable,
	}
}

// parts returns what a grant of the profile is made of.
func (p Profile) parts(c credential, m *metrics, o options) grantParts {
	p.AuthorizeURL = cmp.Or(p.AuthorizeURL, p.preset().authorizeURL)
	p.RevokeURL = cmp.Or(p.RevokeURL, p.preset().revokeURL)
	return grantParts{
		profile:    p,
		client:     p.client(o),
		sealed:     p.sealed(),
		credential: c,
		metrics:    m,
		options:    o,
	}
}

// warnings lists what is suspicious in a profile but not wrong. The token endpoint sees the
// secret, so that a host outside the vendor's domain is worth a word.
func (p Profile) warnings() []string {
	var out []string
	vendor := p.preset().vendor
	u, err := url.Parse(p.tokenURL())
	if err == nil && vendor != "" && !oauth.Loopback(u.Hostname()) &&
		u.Hostname() != vendor && !strings.HasSuffix(u.Hostname(), "."+vendor) {
		out = append(out, "the token endpoint is outside the vendor's domain and will see the client secret")
	}
	if p.preset().warn != nil {
		out = append(out, p.preset().warn(p)...)
	}
	return out
}

// always returns the same scope for every profile.
func always(scope string) func(Profile) string { return func(Profile) string { return scope } }
