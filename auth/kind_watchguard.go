package auth

import "time"

// watchGuard is WatchGuard Cloud. Its tokens are documented to last an hour. It answers bad
// credentials with 400.
var watchGuard = preset{
	grant:    newClientGrant,
	keys:     oauthKeys("scope", "audience", "api_key_file", "url", "region"),
	required: []string{"client_id", "client_secret", "api_key_file"},
	regions: map[string]string{
		"":    "api.usa.cloud.watchguard.com",
		"usa": "api.usa.cloud.watchguard.com",
		"deu": "api.deu.cloud.watchguard.com",
		"jpn": "api.jpn.cloud.watchguard.com",
	},
	vendor: "watchguard.com",

	clientAuth: ClientAuthBasicRaw,
	scope:      fixedScope("api-access"),
	lifetime:   time.Hour,
	window:     5 * time.Minute,
	badRequest: true,
	guessable:  true,
	apiKey:     true,

	clientHint:  " and the region",
	refusedHint: "check the account, the audience and the API key",
}
