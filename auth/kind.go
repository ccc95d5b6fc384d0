package auth

// Kind is one of the systems whose credentials this package knows.
type Kind string

// The kinds, with their names in the configuration. Each has a preset.
const (
	KindWildFire     Kind = "wildfire"      // Strata Cloud Manager service account: client credentials, scope tsg_id:<id>
	KindDataSecurity Kind = "data-security" // Data Security (SaaS Security) API: client credentials, regional hosts
	KindWatchGuard   Kind = "watchguard"    // WatchGuard Cloud: client credentials, and an API key on every call
	KindCortex       Kind = "cortex"        // Cortex hub: authorization code, then a refresh token that rolls
	KindAPIKey       Kind = "api-key"       // legacy WildFire API key, also for the WF-500: sent as a form field, not as a bearer token
)
