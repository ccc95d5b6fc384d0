package config

import (
	"reflect"
	"strings"

	"backburn/auth"
)

// rules adds the problems that the owners find in their keys, and those of the profiles.
func (c Config) rules(p *collector) {
	p.checkStructs("", reflect.ValueOf(c))
	for _, name := range c.profileNames() {
		p.profile(join("auth", name), c.Profile(name), name == c.WildFire.Auth && p.needsProfile)
	}
}

// checker is a struct of the configuration that has rules. Check calls bad for each key with an
// invalid value. related has the other keys on which the rule depends. All keys are relative to the
// struct's table. expected describes a valid value. It does not repeat the invalid one, which may
// come from a variable.
type checker interface {
	Check(bad func(key, expected string, related ...string))
}

// checkStructs adds the problems of a struct and of the structs within it.
func (p *collector) checkStructs(path string, v reflect.Value) {
	if p.failed(path) {
		return
	}

	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			p.checkStructs(element(path, i), v.Index(i))
		}

		return
	}

	if v.Kind() != reflect.Struct {
		return
	}

	if owner, ok := v.Interface().(checker); ok {
		owner.Check(func(key, expected string, related ...string) {
			for i, other := range related {
				related[i] = dotted(path, other)
				expected = p.withValue(expected, other, related[i])
			}

			p.expected(dotted(path, key), expected, related...)
		})
	}

	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		switch {
		case option == "inline":
			p.checkStructs(path, v.Field(i))
		case key != "" && key != "-" && v.Type().Field(i).IsExported():
			p.checkStructs(join(path, key), v.Field(i))
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

// profile adds the problems of a profile. An unused profile may lack keys.
func (p *collector) profile(at string, profile auth.Profile, used bool) {
	for _, problem := range profile.Problems() {
		key := join(at, problem.Key)
		value, set := p.value(key)
		if p.failed(key) || p.failed(at) || !set && !used && problem.Key != "kind" {
			continue
		}
		if problem.Key == "client_secret_file" && p.failed(join(at, "client_secret")) {
			continue // it is missing only because client_secret is invalid
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
