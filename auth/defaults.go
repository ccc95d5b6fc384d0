package auth

import (
	"cmp"
	"strings"

	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
)

func (p Profile) preset() preset { return presets[p.Kind] }

// Shares reports whether the profile shares tokens with other processes.
func (p Profile) Shares() bool { return !p.preset().unshared && p.Share != ShareOff }

func (p Profile) clientAuth() string { return cmp.Or(p.ClientAuth, p.preset().clientAuth) }

const tokenPath = "/oauth/token"

// tokenURL returns the URL of the token endpoint.
func (p Profile) tokenURL() string {
	return cmp.Or(p.TokenURL, p.preset().tokenURL, p.apiURL()+tokenPath)
}

// apiURL returns the base of the API, without a trailing slash; "" if none is known.
func (p Profile) apiURL() string {
	if p.URL != "" {
		return strings.TrimRight(p.URL, "/")
	}
	if host := p.preset().regions[p.Region]; host != "" {
		return "https://" + host
	}
	return ""
}

// scope returns the scope to request. The granted scope may be wider and is not checked.
func (p Profile) scope() string {
	if p.Scope == "" && p.preset().scope != nil {
		return p.preset().scope(p)
	}
	return p.Scope
}

// client returns the OAuth client of the profile.
func (p Profile) client(o options) oauth.Client {
	ps := p.preset()
	hints := oauth.Hints{
		Client: "check client_id and client_secret" + ps.clientHint,
		Scope:  cmp.Or(ps.scopeHint, "check scope and the roles of the account"),
		Grant:  "check client_id and client_secret",
	}
	if ps.grantHint != nil {
		hints.Grant = ps.grantHint(p)
	}

	return oauth.Client{
		Profile:     p.Name,
		ID:          p.ClientID,
		Auth:        p.clientAuth(),
		Body:        p.Body,
		TokenURL:    p.tokenURL(),
		Scope:       p.scope(),
		Audience:    p.Audience,
		RedirectURL: p.RedirectURL,
		Lifetime:    ps.lifetime,
		BadRequest:  ps.badRequest,
		Hints:       hints,
		Transport:   o.transport,
		UserAgent:   o.userAgent,
	}
}

// sealContext returns the identity of the profile's credential, for sealing its values.
func (p Profile) sealContext() seal.Credential {
	return seal.Credential{
		Kind:       string(p.Kind),
		TokenURL:   p.tokenURL(),
		ClientID:   p.ClientID,
		Scope:      p.scope(),
		Audience:   p.Audience,
		InstanceID: p.InstanceID,
		Guessable:  p.preset().guessable,
	}
}

// parts returns the dependencies of the profile's grant.
func (p Profile) parts(c credential, m *metrics, o options) grantParts {
	p.AuthorizeURL = cmp.Or(p.AuthorizeURL, p.preset().authorizeURL)
	p.RevokeURL = cmp.Or(p.RevokeURL, p.preset().revokeURL)

	return grantParts{
		profile:    p,
		client:     p.client(o),
		sealed:     p.sealContext(),
		credential: c,
		metrics:    m,
		options:    o,
	}
}
