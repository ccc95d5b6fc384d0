package auth

import (
	"net/url"
	"slices"
	"strings"

	"backburn/auth/internal/oauth"
)

// hostSet lists the hosts that may receive a token. Entries are "host:port", or ".domain:port" for
// the hosts below a domain.
type hostSet []string

// newHostSet collects the hosts of a profile: the host of its URL, those of its kind, and more.
func newHostSet(p Profile, more []string) hostSet {
	var set hostSet
	if u, err := url.Parse(p.apiURL()); err == nil && u.Hostname() != "" {
		set = append(set, oauth.HostPort(u))
	} else {
		for _, h := range p.preset().hosts {
			set = append(set, h+":443")
		}
	}

	for _, h := range more {
		if u, err := url.Parse("https://" + h); err == nil {
			set = append(set, oauth.HostPort(u))
		}
	}

	return set
}

// has reports whether a request to u may carry the token: the host is known, and the request is
// encrypted or stays on this machine.
func (s hostSet) has(u *url.URL) bool {
	if !oauth.Confidential(u) {
		return false
	}
	name := oauth.HostPort(u)
	return slices.ContainsFunc(s, func(entry string) bool {
		return entry == name || entry[0] == '.' && strings.HasSuffix(name, entry)
	})
}
