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
// without; client_secret stands for the file that may hold it, too.
type profileKind struct{ keys, needs []string }

var profileKinds = map[string]profileKind{
	KindWildFire: {
		keys:  clientKeys("tsg_id"),
		needs: []string{"client_id", "client_secret", "tsg_id"},
	},
	KindDataSecurity: {
		keys:  clientKeys("scope", "url", "region"),
		needs: []string{"client_id", "client_secret"},
	},
	KindWatchGuard: {
		keys:  clientKeys("scope", "audience", "api_key_file", "url", "region"),
		needs: []string{"client_id", "client_secret", "api_key_file"},
	},
	KindCortex: {
		keys: clientKeys("body", "scope", "url", "region", "redirect_url", "authorize_url", "revoke_url",
			"instance_id", "pkce", "grant_file"),
		needs: []string{"client_id", "client_secret", "scope", "redirect_url", "grant_file"},
	},
	KindAPIKey: {
		keys:  []string{"api_key_file"},
		needs: []string{"api_key_file"},
	},
}

// clientKeys are the keys of a kind that is an OAuth client, with those that are its own.
func clientKeys(own ...string) []string {
	return append([]string{
		"client_id", "client_secret", "client_secret_file", "token_url", "client_auth",
		"cache_key_file", "share",
	}, own...)
}

// defaultShare is what a profile of a kind shares unless it says so. Two processes that
// refresh one rolling grant at the same time can lose it, hence required; a static key
// is not shared.
func defaultShare(kind string) string {
	switch kind {
	case KindCortex:
		return "required"
	case KindAPIKey:
		return ""
	}
	return "prefer"
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
