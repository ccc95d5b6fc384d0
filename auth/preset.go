package auth

import "time"

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

// oauthKeys are the keys of a kind that is an OAuth client, with those that are its own.
func oauthKeys(own ...string) []string {
	common := []string{
		"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "cache_key_file", "share",
	}
	return append(common, own...)
}

// always returns the same scope for every profile.
func always(scope string) func(Profile) string { return func(Profile) string { return scope } }
