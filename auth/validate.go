package auth

import (
	"errors"
	"net/url"
	"strings"

	"backburn/internal/loopback"
)

// Validate returns all problems of p, joined. It reads no files.
func (p Profile) Validate() error {
	if p.Name == "" {
		return errors.New("auth: a profile needs a name")
	}
	var errs []error
	for _, problem := range p.Problems() {
		errs = append(errs, problem)
	}

	return errors.Join(errs...)
}

// Problems lists all problems of p, each with its key. It reads no files.
func (p Profile) Problems() []Problem {
	v := validator{profile: p}
	preset, known := presets[p.Kind]
	switch {
	case p.Kind == "":
		v.add("kind", "is required: %s", KindList(Kinds()))
	case !known:
		v.add("kind", "%q is not one of %s", p.Kind, KindList(Kinds()))
	default:
		v.required(preset.required)
		v.region(preset.regions)
		v.clientID(p.clientAuth())
		v.bodyEncoding(preset.keys)
		if preset.check != nil {
			preset.check(&v)
		}
	}

	v.values()

	return v.problems
}

// warnings lists settings that are suspicious but not wrong, such as a token endpoint outside the
// vendor's domain, which receives the secret.
func (p Profile) warnings() []string {
	var out []string
	vendor := p.preset().vendor
	u, err := url.Parse(p.tokenURL())
	if err == nil && vendor != "" && !loopback.Host(u.Hostname()) &&
		u.Hostname() != vendor && !strings.HasSuffix(u.Hostname(), "."+vendor) {
		out = append(out, "the token endpoint is outside the vendor's domain and will see the client secret")
	}

	if p.preset().warn != nil {
		out = append(out, p.preset().warn(p)...)
	}

	return out
}
