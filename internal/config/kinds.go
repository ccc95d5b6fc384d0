package config

import (
	"maps"
	"slices"
)

// The kinds of Auth.
const (
	KindWildFire     = "wildfire"      // WildFire through Strata Cloud Manager: client credentials and a tenant service group
	KindDataSecurity = "data-security" // Palo Alto Networks Data Security (SaaS Security, Aperture)
	KindWatchGuard   = "watchguard"    // WatchGuard Cloud: client credentials and an API key
	KindCortex       = "cortex"        // Cortex hub: authorisation code and refresh token
	KindAPIKey       = "api-key"       // a static key, as WildFire knew it before tokens
)

// profileKind says which keys a kind of profile has and which of them it cannot do
// without. A secret stands for itself and for the file that may hold it.
type profileKind struct{ keys, needs []string }

var profileKinds = map[string]profileKind{
	KindWildFire: {
		keys:  []string{"client_id", "client_secret", "client_secret_file", "tsg_id", "token_url", "client_auth", "share"},
		needs: []string{"client_id", "client_secret", "tsg_id"},
	},
	KindDataSecurity: {
		keys:  []string{"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "scope", "share"},
		needs: []string{"client_id", "client_secret", "token_url"},
	},
	KindWatchGuard: {
		keys: []string{"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "scope",
			"audience", "api_key", "api_key_file", "url", "share"},
		needs: []string{"client_id", "client_secret", "api_key", "url"},
	},
	KindCortex: {
		keys: []string{"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "scope",
			"redirect_url", "authorize_url", "instance_id", "region", "grant_file", "share"},
		needs: []string{"client_id", "client_secret", "redirect_url", "grant_file"},
	},
	KindAPIKey: {
		keys:  []string{"api_key", "api_key_file"},
		needs: []string{"api_key"},
	},
}

// kindsWith lists the kinds that have a key, in order.
func kindsWith(key string) []string {
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(profileKinds)) {
		if slices.Contains(profileKinds[name].keys, key) {
			kinds = append(kinds, name)
		}
	}
	return kinds
}
