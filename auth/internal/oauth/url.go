package oauth

import (
	"cmp"
	"errors"
	"net/url"
	"strings"

	"backburn/internal/loopback"
)

// CheckURL checks a URL to which credentials are sent: it must be an absolute https URL, or http to
// this machine, without credentials or a fragment. Its errors do not contain the URL.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.User != nil:
		return errors.New("must not contain credentials")
	case u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("must be an absolute https URL")
	case !Confidential(u):
		return errors.New("must be https, because credentials are sent to it (http is allowed for loopback only)")
	case u.Fragment != "":
		return errors.New("must not contain a fragment")
	default:
		return nil
	}
}

// Confidential reports whether a request to u is encrypted or stays on this machine.
func Confidential(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && loopback.Host(u.Hostname())
}

// HostPort returns the host of u in lower case and its port; without one, the default port of the
// scheme.
func HostPort(u *url.URL) string {
	port := map[string]string{"http": "80"}[u.Scheme]
	return strings.ToLower(u.Hostname()) + ":" + cmp.Or(u.Port(), port, "443")
}
