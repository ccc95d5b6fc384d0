package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// hostSet is where a token may go. Entries are "host:port", or ".domain:port" for the hosts
// below a domain.
type hostSet []string

// newHostSet collects the hosts of a profile: its URL's, the kind's own, and more.
func newHostSet(p Profile, more []string) hostSet {
	var set hostSet
	if u, err := url.Parse(p.apiURL()); err == nil && u.Hostname() != "" {
		set = append(set, hostPort(u))
	} else {
		for _, h := range presets[p.Kind].hosts {
			set = append(set, h+":443")
		}
	}
	for _, h := range more {
		if u, err := url.Parse("https://" + h); err == nil {
			set = append(set, hostPort(u))
		}
	}
	return set
}

// hostPort returns the host in lower case with its port, the scheme's own where none is given.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// has reports whether a request to u may carry the token: to a known host, and encrypted
// unless it does not leave the machine.
func (s hostSet) has(u *url.URL) bool {
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return false
	}
	name := hostPort(u)
	return slices.ContainsFunc(s, func(entry string) bool {
		return entry == name || entry[0] == '.' && strings.HasSuffix(name, entry)
	})
}

// header adds what the service wants to see: the token and, for WatchGuard Cloud, the API key.
func (s *Source) header(h http.Header, token string) {
	if s.profile.Kind == KindAPIKey {
		return // a form field, which its client adds
	}
	h.Set("Authorization", "Bearer "+token)
	if s.apiKey != nil {
		h.Set("WatchGuard-API-Key", s.apiKey.get().Reveal())
	}
}
