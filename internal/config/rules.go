package config

import (
	"net/url"
	"reflect"
	"strings"
	"time"

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

// rules asks every owner for everything that is wrong with its keys.
func (c Config) rules(p *collector) {
	p.ask("", reflect.ValueOf(c))
	for _, name := range c.profileNames() {
		p.profile(join("auth", name), c.Profile(name), name == c.WildFire.Auth && p.needsProfile)
	}
}

// ask asks a struct, and those that are in it.
func (p *collector) ask(path string, v reflect.Value) {
	if p.failed(path) {
		return
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			p.ask(element(path, i), v.Index(i))
		}
		return
	}
	if v.Kind() != reflect.Struct {
		return
	}

	if owner, ok := v.Interface().(checker); ok {
		owner.Check(func(key, expected string, beside ...string) {
			for i, other := range beside {
				beside[i] = dotted(path, other)
				expected = p.withValue(expected, other, beside[i])
			}
			p.expected(dotted(path, key), expected, beside...)
		})
	}
	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		switch {
		case option == "inline":
			p.ask(path, v.Field(i))
		case key != "" && key != "-" && v.Type().Field(i).IsExported():
			p.ask(join(path, key), v.Field(i))
		}
	}
}

// withValue adds to the name of a key in a text the duration that it holds.
func (p *collector) withValue(text, name, key string) string {
	v, ok := lookup(schema, reflect.ValueOf(p.cfg), key)
	if !ok || v.Type() != reflect.TypeFor[time.Duration]() {
		return text
	}

	return strings.Replace(text, name, name+" ("+FormatDuration(time.Duration(v.Int()))+")", 1)
}

// dotted is join for a key that may have dots.
func dotted(path, key string) string {
	if path == "" {
		return key
	}

	return path + "." + key
}

// expected adds a problem with the value of a key, unless it or one that the rule depends on
// has one. It is shown where the file sets the key or else, since one of them was set, where
// it sets one of the others.
func (p *collector) expected(key, expected string, beside ...string) {
	if p.failed(key) {
		return
	}
	shown := key
	for _, other := range beside {
		if p.failed(other) {
			return
		}
		if !p.origin.set(shown) && p.origin.set(other) {
			shown = other
		}
	}

	p.addAt(shown, key, "expected %s%s%s", expected, p.got(key), p.meant(key, expected))
}

// meant suggests the word in quotes that the value of the key is nearest to.
func (p *collector) meant(key, expected string) string {
	value, ok := p.value(key)
	if !ok {
		return ""
	}
	var words []string
	for i, part := range strings.Split(expected, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		}
	}

	return suggest(value, words)
}

// profile adds what is wrong with a profile. One that is not used may still lack keys.
func (p *collector) profile(at string, profile auth.Profile, used bool) {
	for _, problem := range profile.Problems() {
		key := join(at, problem.Key)
		value, set := p.value(key)
		if p.failed(key) || p.failed(at) || !set && !used && problem.Key != "kind" {
			continue
		}
		p.addAt(key, key, "%s", p.hide(key, value, problem.Message))
	}
	if !used {
		return
	}

	for _, needed := range profile.Kind.Required() {
		key := join(at, needed)
		if _, set := p.value(key); !set && needed != "client_secret" && !p.failed(key) {
			p.add(key, "is required for kind %q", profile.Kind)
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
