package auth

import "time"

// dataSecurity is the Data Security (SaaS Security, Aperture) API. By its documentation, a token
// without expires_in does not expire.
var dataSecurity = preset{
	grant:    newClientGrant,
	keys:     oauthKeys("scope", "url", "region"),
	required: []string{"client_id", "client_secret"},
	regions: map[string]string{
		"":     "api.aperture.paloaltonetworks.com",
		"us":   "api.aperture.paloaltonetworks.com",
		"eu":   "api.aperture-eu.paloaltonetworks.com",
		"apac": "api.aperture-apac.paloaltonetworks.com",
		"uk":   "api.aperture-uk.paloaltonetworks.com",
		"in1":  "api.in1.prisma-saas.paloaltonetworks.com",
		"au1":  "api.au1.prisma-saas.paloaltonetworks.com",
		"uk2":  "api.uk2.prisma-saas.paloaltonetworks.com",
		"jp1":  "api.jp1.prisma-saas.paloaltonetworks.com",
	},
	vendor: "paloaltonetworks.com",

	clientAuth: ClientAuthBasicRaw,
	scope:      fixedScope("api_access"),
	window:     10 * time.Minute,

	clientHint:  " and the region",
	refusedHint: "check the account's rights and that the profile belongs to this service",
}
