package oauth

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strings"
)

// CheckURL judges an address that credentials are sent to: an absolute https URL, or http to
// this machine, with nothing in it that would have to be kept secret. Its errors do not repeat
// the address.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.User != nil:
		return errors.New("must not hold credentials")
	case u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("must be an absolute https URL")
	case !Confidential(u):
		return errors.New("must be https, because credentials travel to it (http is for loopback only)")
	case u.Fragment != "":
		return errors.New("must not hold a fragment")
	default:
		return nil
	}
}

// Confidential reports whether nobody else can read a request to u: it is encrypted, or does
// not leave the machine.
func Confidential(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname())
}

// Loopback reports whether host is this machine, by name or address, without a look-up.
func Loopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// HostPort returns the host of u in lower case with its port, the scheme's own where none is
// given.
func HostPort(u *url.URL) string {
	port := map[string]string{"http": "80"}[u.Scheme]
	return strings.ToLower(u.Hostname()) + ":" + cmp.Or(u.Port(), port, "443")
}
