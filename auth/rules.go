package auth

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"backburn/auth/internal/oauth"
)

// A Problem is one error in a profile.
type Problem struct {
	Profile string // name of the profile
	Key     string // configuration key, such as "client_id"
	Message string // description, to be printed after the key
}

// Error returns the key, as in the configuration, and the message.
func (p Problem) Error() string { return "auth." + p.Profile + "." + p.Key + ": " + p.Message }

// validator collects the problems of a profile.
type validator struct {
	profile  Profile
	problems []Problem
}

func (v *validator) add(key, format string, args ...any) {
	v.problems = append(v.problems, Problem{v.profile.Name, key, fmt.Sprintf(format, args...)})
}

// required checks that the profile has the keys.
func (v *validator) required(keys []string) {
	v.profile.fields(func(key string, _ reflect.StructTag, value reflect.Value) {
		switch {
		case !slices.Contains(keys, key):
		case key == "client_secret":
			v.secret()
		case value.IsZero():
			v.add(key, "is required for kind %q", v.profile.Kind)
		}
	})
}

// secret checks that the client secret is given in exactly one way.
func (v *validator) secret() {
	p := v.profile
	switch {
	case p.ClientSecret.IsSet() && p.ClientSecretFile != "":
		v.add("client_secret", "and client_secret_file are both set: keep one")
	case !p.ClientSecret.IsSet() && p.ClientSecretFile == "":
		v.add("client_secret_file", "is required for kind %q (or client_secret = \"${NAME}\")", p.Kind)
	}
}

// clientID checks that the client ID can be sent by the method auth, see ClientAuthBasicRaw.
func (v *validator) clientID(auth string) {
	if strings.ContainsRune(v.profile.ClientID, ':') && auth == ClientAuthBasicRaw {
		v.add("client_id", "contains a colon, which basic-raw cannot encode: set client_auth")
	}
}

// bodyEncoding checks that the kind supports the encoding of the body.
func (v *validator) bodyEncoding(keys []string) {
	if v.profile.Body == BodyJSON && !slices.Contains(keys, "body") {
		v.add("body", "%s is not supported by kind %q", BodyJSON, v.profile.Kind)
	}
}

// region checks that the region is known. An unknown region has no default, because each region has
// its own host.
func (v *validator) region(hosts map[string]string) {
	region := v.profile.Region
	if _, known := hosts[region]; region == "" || known || len(hosts) == 0 {
		return
	}

	var names []string
	for name := range hosts {
		if name != "" {
			names = append(names, name)
		}
	}

	slices.Sort(names)
	v.add("region", "%q is not one of %s", region, strings.Join(names, ", "))
}

// values checks the rules that all kinds share: choices and addresses. Problems reports an unknown
// kind.
func (v *validator) values() {
	v.profile.fields(func(key string, tag reflect.StructTag, value reflect.Value) {
		if key == "kind" || value.IsZero() {
			return
		}
		if choices := strings.Fields(tag.Get("oneof")); len(choices) > 0 && !slices.Contains(choices, value.String()) {
			v.add(key, "%q is not one of %s", value, strings.Join(choices, ", "))
		}

		if tag.Get("address") == "true" {
			if err := oauth.CheckURL(value.String()); err != nil {
				v.add(key, "%s", err)
			}
		}
	})
}
