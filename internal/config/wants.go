package config

import (
	"net/url"

	"backburn/internal/loopback"
)

// checker is a struct of the configuration that knows its rules. Check calls bad for each key
// whose value cannot work, relative to the table of the struct, with what was expected
// instead, and with the other keys that the rule depends on. It repeats no values: they may
// come from a variable.
type checker interface {
	Check(bad func(key, expected string, beside ...string))
}

// wantHTTPS wants https, except towards this machine, where tests and simulations live.
func wantHTTPS(want func(ok bool, key, expected string, beside ...string), key, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		want(false, key, `an address such as "https://host/path"`)
	case u.User != nil:
		want(false, key, "no user or password in the address")
	default:
		want(u.Scheme == "https" || loopback.Host(u.Hostname()), key, "https, because credentials would travel in the clear")
	}
}
