package config

import (
	"io/fs"
	"net/url"
	"strconv"

	"backburn/auth"
)

// checker is a struct of the configuration that knows its rules. Check calls bad for each key
// whose value cannot work, relative to the table of the struct, with what was expected
// instead, and with the other keys that the rule depends on. It repeats no values: they may
// come from a variable.
type checker interface {
	Check(bad func(key, expected string, beside ...string))
}

// wants turns bad around: it states what has to hold.
func wants(bad func(key, expected string, beside ...string)) func(ok bool, key, expected string, beside ...string) {
	return func(ok bool, key, expected string, beside ...string) {
		if !ok {
			bad(key, expected, beside...)
		}
	}
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
		want(u.Scheme == "https" || auth.Loopback(u.Hostname()), key, "https, because credentials would travel in the clear")
	}
}

const nameRule = "1 to 32 of a-z, 0-9, _ and -"

// permissionsRule says what FileMode accepts.
const permissionsRule = `permissions in octal, such as "0660"`

// FileMode reads permissions in octal.
func FileMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, strconv.ErrSyntax
	}

	return fs.FileMode(n), nil
}
