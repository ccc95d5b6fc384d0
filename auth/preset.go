package auth

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// preset is what is special about a kind, beyond what a Profile says.
type preset struct {
	clientAuth string
	lifetime   time.Duration // of a token whose answer has no expires_in; 0: it does not expire
	window     time.Duration // at most so long before the end a token is renewed
	any400     bool          // every 400 of the token endpoint means bad credentials
	hosts      []string      // API hosts that may see the token; a leading dot stands for any subdomain
	vendor     string        // domain of the vendor's token endpoints
}

// presets, with lifetimes as documented: 900 s for Strata Cloud Manager, 3600 s for
// WatchGuard and Cortex; the Data Security API documents that an answer without expires_in
// is a token that does not expire. Client authentication is in the body for Strata Cloud
// Manager, because ids hold "@" and the body has one spelling of it only.
var presets = map[Kind]preset{
	KindWildFire: {
		clientAuth: ClientAuthBody, lifetime: 900 * time.Second, window: 180 * time.Second,
		hosts:  []string{"wildfire.paloaltonetworks.com", ".wildfire.paloaltonetworks.com"},
		vendor: "paloaltonetworks.com",
	},
	KindDataSecurity: {
		clientAuth: ClientAuthBasicRaw, window: 10 * time.Minute, vendor: "paloaltonetworks.com",
	},
	KindWatchGuard: {
		clientAuth: ClientAuthBasicRaw, lifetime: time.Hour, window: 5 * time.Minute, any400: true, vendor: "watchguard.com",
	},
	KindCortex: {
		clientAuth: ClientAuthBody, lifetime: time.Hour, window: 5 * time.Minute, vendor: "paloaltonetworks.com",
		hosts: []string{"api.us.cdl.paloaltonetworks.com", "api.eu.cdl.paloaltonetworks.com"}, // without a region, either
	},
	KindAPIKey: {},
}

const (
	wildFireTokenURL   = "https://auth.apps.paloaltonetworks.com/am/oauth2/access_token"
	cortexTokenURL     = "https://api.paloaltonetworks.com/api/oauth2/RequestToken"
	cortexRevokeURL    = "https://api.paloaltonetworks.com/api/oauth2/RevokeToken"
	cortexAuthorizeURL = "https://identity.paloaltonetworks.com/as/authorization.oauth2"
)

// API hosts by region. Without a region the Data Security API and WatchGuard Cloud have
// their American hosts; Cortex always says which one it is.
var (
	dataSecurityHosts = map[string]string{
		"": "api.aperture.paloaltonetworks.com", "us": "api.aperture.paloaltonetworks.com",
		"eu": "api.aperture-eu.paloaltonetworks.com", "apac": "api.aperture-apac.paloaltonetworks.com",
		"uk": "api.aperture-uk.paloaltonetworks.com", "in1": "api.in1.prisma-saas.paloaltonetworks.com",
		"au1": "api.au1.prisma-saas.paloaltonetworks.com", "uk2": "api.uk2.prisma-saas.paloaltonetworks.com",
		"jp1": "api.jp1.prisma-saas.paloaltonetworks.com",
	}
	watchGuardHosts = map[string]string{
		"": "api.usa.cloud.watchguard.com", "usa": "api.usa.cloud.watchguard.com",
		"deu": "api.deu.cloud.watchguard.com", "jpn": "api.jpn.cloud.watchguard.com",
	}
	cortexHosts = map[string]string{
		"americas": "api.us.cdl.paloaltonetworks.com", "europe": "api.eu.cdl.paloaltonetworks.com",
	}
)

func regionList(hosts map[string]string) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(hosts)), func(s string) bool { return s == "" })
	return strings.Join(names, ", ")
}

func (p Profile) clientAuth() string { return cmp.Or(p.ClientAuth, presets[p.Kind].clientAuth) }

// apiURL returns the base of the API, without a slash at its end; "" where none is known.
func (p Profile) apiURL() string {
	if p.URL != "" {
		return strings.TrimRight(p.URL, "/")
	}
	var host string
	switch p.Kind {
	case KindDataSecurity:
		host = dataSecurityHosts[p.Region]
	case KindWatchGuard:
		host = watchGuardHosts[p.Region]
	case KindCortex:
		host = cortexHosts[p.Region]
	}
	if host == "" {
		return ""
	}
	return "https://" + host
}

// tokenURL returns where tokens are asked for.
func (p Profile) tokenURL() string {
	switch {
	case p.TokenURL != "":
		return p.TokenURL
	case p.Kind == KindWildFire:
		return wildFireTokenURL
	case p.Kind == KindCortex:
		return cortexTokenURL
	default:
		return p.apiURL() + "/oauth/token"
	}
}

func (p Profile) authorizeURL() string { return cmp.Or(p.AuthorizeURL, cortexAuthorizeURL) }
func (p Profile) revokeURL() string    { return cmp.Or(p.RevokeURL, cortexRevokeURL) }

// scope returns the scope to ask for. What is granted may be wider and is not compared.
func (p Profile) scope() string {
	if p.Scope != "" {
		return p.Scope
	}
	switch p.Kind {
	case KindWildFire:
		return "tsg_id:" + p.TSGID
	case KindDataSecurity:
		return "api_access"
	case KindWatchGuard:
		return "api-access"
	default:
		return ""
	}
}

// grantParams returns what a client credentials request carries besides the scope.
func (p Profile) grantParams() url.Values {
	if p.Audience == "" {
		return nil
	}
	return url.Values{"audience": {p.Audience}}
}

// warnings lists what is suspicious in a profile but not wrong: hosts outside the vendor's
// domain (the token endpoint sees the secret), and a client id of another tenant.
func (p Profile) warnings() []string {
	var out []string
	vendor := presets[p.Kind].vendor
	if u, err := url.Parse(p.tokenURL()); err == nil && vendor != "" && !loopback(u.Hostname()) &&
		u.Hostname() != vendor && !strings.HasSuffix(u.Hostname(), "."+vendor) {
		out = append(out, "the token endpoint is outside the vendor's domain and will see the client secret")
	}
	if _, domain, ok := strings.Cut(p.ClientID, "@"); ok && p.Kind == KindWildFire && p.TSGID != "" {
		if id, _, _ := strings.Cut(domain, "."); id != p.TSGID {
			out = append(out, "the client id names another tenant service group than tsg_id")
		}
	}
	return out
}
