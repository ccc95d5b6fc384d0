package config

import (
	"reflect"
	"strings"

	"backburn/auth"
)

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

// dotted is join for a key that may have dots.
func dotted(path, key string) string {
	if path == "" {
		return key
	}

	return path + "." + key
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
