package auth

import (
	"time"

	"backburn/auth/cortex"
)

// cortexHub is the Cortex hub. Its tokens are documented to last an hour. Sharing is required,
// because two processes that refresh one rolling grant at the same time can lose it.
var cortexHub = preset{
	grant: newCortexGrant,
	keys: oauthKeys("body", "scope", "url", "region", "redirect_url", "authorize_url", "revoke_url",
		"instance_id", "pkce", "grant_file"),
	required: []string{"client_id", "client_secret", "scope"},
	login:    []string{"redirect_url", "grant_file"},
	regions:  cortex.Regions,
	hosts:    []string{cortex.Regions["americas"], cortex.Regions["europe"]},
	vendor:   "paloaltonetworks.com",

	clientAuth:   ClientAuthBody,
	tokenURL:     "https://api.paloaltonetworks.com/api/oauth2/RequestToken",
	revokeURL:    "https://api.paloaltonetworks.com/api/oauth2/RevokeToken",
	authorizeURL: "https://identity.paloaltonetworks.com/as/authorization.oauth2",
	lifetime:     time.Hour,
	window:       5 * time.Minute,

	share:  ShareRequired,
	logsIn: true,

	refusedHint: "check the account's rights and that the profile belongs to this service",
	grantHint:   reauthorizeHint,
}

func reauthorizeHint(p Profile) string {
	what := "backburn login " + p.Name
	if p.InstanceID != "" {
		what += " for instance " + p.InstanceID
	}
	return "the grant is unknown, expired or revoked: authorize again with " + what
}

func newCortexGrant(p grantParts) (grant, error) {
	return cortex.NewGrant(cortexConfig(p), cortex.Metrics{
		Requests: p.metrics.requests,
		Rolls:    p.metrics.rolls,
		Saves:    p.metrics.saveErrors,
	})
}

func cortexConfig(p grantParts) cortex.Config {
	return cortex.Config{
		Name:          p.profile.Name,
		Client:        p.client,
		Seal:          p.sealed,
		Secret:        p.credential.client,
		CacheKey:      p.credential.cacheKey,
		AuthorizeURL:  p.profile.AuthorizeURL,
		RevokeURL:     p.profile.RevokeURL,
		InstanceID:    p.profile.InstanceID,
		Region:        p.profile.Region,
		PKCE:          p.profile.PKCE,
		GrantFile:     p.profile.GrantFile,
		Grants:        p.options.grants,
		Log:           p.options.logger(p.profile),
		Hook:          p.options.persistHook,
		BucketTimeout: p.options.timing.bucketTimeout,
		RetryDelay:    p.options.timing.saveRetry,
	}
}
