package auth

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
