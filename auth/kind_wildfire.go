package auth

import (
	"strings"
	"time"
)

// wildFire is WildFire through Strata Cloud Manager. Its tokens are documented to last 900 s. The
// client authenticates in the body, because client IDs contain "@", which Basic authentication
// encodes in two ways.
var wildFire = preset{
	grant:    newClientGrant,
	keys:     oauthKeys("tsg_id"),
	required: []string{"client_id", "client_secret", "tsg_id"},
	hosts:    []string{"wildfire.paloaltonetworks.com", ".wildfire.paloaltonetworks.com"},
	vendor:   "paloaltonetworks.com",
	check:    checkTSG,
	warn:     warnTSG,

	clientAuth: ClientAuthBody,
	tokenURL:   "https://auth.apps.paloaltonetworks.com/am/oauth2/access_token",
	scope:      func(p Profile) string { return "tsg_id:" + p.TSGID },
	lifetime:   900 * time.Second,
	window:     180 * time.Second,

	clientHint:  " and that the service account still exists",
	scopeHint:   "check tsg_id and the roles of the account",
	refusedHint: "check that a WildFire API key is bound to the service account and Valid (a new key is Pending for some minutes)",
}

func checkTSG(v *validator) {
	if id := v.profile.TSGID; strings.Trim(id, "0123456789") != "" {
		v.add("tsg_id", "%q is not a number", id)
	}
}

// warnTSG compares tsg_id with the client id, which names its tenant service group.
func warnTSG(p Profile) []string {
	_, domain, ok := strings.Cut(p.ClientID, "@")
	id, _, _ := strings.Cut(domain, ".")
	if !ok || p.TSGID == "" || id == p.TSGID {
		return nil
	}

	return []string{"the client id names another tenant service group than tsg_id"}
}
