package auth

import "time"

// preset has the properties of a kind.
type preset struct {
	grant func(grantParts) (grant, error)

	keys     []string          // configuration keys, besides "kind"
	required []string          // required keys; "client_secret" also stands for client_secret_file
	login    []string          // further keys that a login needs
	regions  map[string]string // API hosts by region; "" is the default
	hosts    []string          // API hosts of kinds without regions; a leading dot stands for any subdomain
	vendor   string            // domain of the vendor's token endpoints
	check    func(*validator)  // rules of this kind
	warn     func(Profile) []string

	clientAuth   string
	tokenURL     string // "": tokenPath on the API's host
	authorizeURL string
	revokeURL    string
	scope        func(Profile) string // default scope; nil: none

	lifetime   time.Duration // life of a token whose answer has no expires_in; 0: it does not expire
	window     time.Duration // longest time before its expiry that a token is renewed
	badRequest bool          // every 400 of the token endpoint means bad credentials
	guessable  bool          // people choose the client secret

	unshared  bool  // there is nothing to share
	share     Share // default of Profile.Share
	logsIn    bool  // an administrator has to log in
	formField bool  // the token is the value of a form field, not a bearer token
	apiKey    bool  // the key in api_key_file is sent with every call as WatchGuard-API-Key

	clientHint  string // what to check when the token endpoint refuses the client
	scopeHint   string // and when it refuses the scope
	refusedHint string // and when the service refuses a fresh token
	grantHint   func(Profile) string
}

// oauthKeys returns the keys of an OAuth client and those of the kind.
func oauthKeys(own ...string) []string {
	common := []string{
		"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "cache_key_file", "share",
	}
	return append(common, own...)
}

// fixedScope returns a function that returns the same scope for every profile.
func fixedScope(scope string) func(Profile) string { return func(Profile) string { return scope } }
