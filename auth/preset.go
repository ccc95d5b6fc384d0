package auth

import "time"

// preset has the properties of a kind.
type preset struct {
	grant func(grantParts) (grant, error) // creates the grant of a profile

	keys     []string               // configuration keys, besides "kind"
	required []string               // required keys; "client_secret" also stands for client_secret_file
	login    []string               // further keys that a login needs
	regions  map[string]string      // API hosts by region; "" is the default
	hosts    []string               // API hosts of kinds without regions; a leading dot stands for any subdomain
	vendor   string                 // domain of the vendor's token endpoints
	check    func(*validator)       // adds problems that only this kind can have; nil: none
	warn     func(Profile) []string // returns suspicious settings; nil: none

	// Defaults of the profile's fields of these names.
	clientAuth   string
	tokenURL     string // "": tokenPath on the API's host
	authorizeURL string
	revokeURL    string
	scope        func(Profile) string // nil: no scope

	lifetime   time.Duration // life of a token whose answer has no expires_in; 0: it does not expire
	window     time.Duration // a token is renewed at most this long before it expires
	badRequest bool          // every 400 of the token endpoint means bad credentials
	guessable  bool          // people choose the client secret, so it may be a weak password

	unshared  bool  // tokens are not shared, because there are none
	share     Share // default of Profile.Share
	logsIn    bool  // an administrator has to log in
	formField bool  // the token is the value of a form field, not a bearer token
	apiKey    bool  // the key in api_key_file is sent with every call as WatchGuard-API-Key

	// What an operator should check.
	clientHint  string               // when the token endpoint refuses the client; added to a general text
	scopeHint   string               // when the token endpoint refuses the scope; "": a general text
	refusedHint string               // when the service refuses a fresh token
	grantHint   func(Profile) string // when the token endpoint refuses the grant; nil: a general text
}

// oauthKeys returns the keys that all OAuth kinds have, and the extra ones of a kind.
func oauthKeys(extra ...string) []string {
	common := []string{
		"client_id", "client_secret", "client_secret_file", "token_url", "client_auth", "cache_key_file", "share",
	}
	return append(common, extra...)
}

// fixedScope returns a function that returns the same scope for every profile.
func fixedScope(scope string) func(Profile) string { return func(Profile) string { return scope } }
