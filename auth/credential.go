package auth

import (
	"errors"
	"fmt"

	"backburn/auth/internal/secret"
)

// credential has the secrets of a profile.
type credential struct {
	client   *secret.File // of the OAuth client; for a kind without one, the API key
	apiKey   *secret.File // sent in addition to the token; nil for most kinds
	cacheKey Secret       // seals shared and stored values; unset: the client secret is used
}

// openCredential reads the secrets of a profile. It fails if one of their files is invalid.
// formField says that the kind has an API key and no OAuth client.
func openCredential(p Profile, formField bool) (credential, error) {
	var c credential
	var cacheKey *secret.File
	clientFile, clientKey := p.ClientSecretFile, "client_secret_file"
	apiKeyFile := p.APIKeyFile
	if formField {
		clientFile, clientKey = p.APIKeyFile, "api_key_file"
		apiKeyFile = ""
	}

	for _, f := range []struct {
		key   string
		file  **secret.File
		value Secret
		path  string
	}{
		{clientKey, &c.client, p.ClientSecret, clientFile},
		{"api_key_file", &c.apiKey, Secret{}, apiKeyFile},
		{"cache_key_file", &cacheKey, Secret{}, p.CacheKeyFile},
	} {
		var err error
		if *f.file, err = secret.Open(f.value, f.path); err != nil {
			return credential{}, fmt.Errorf("auth.%s.%s: %w", p.Name, f.key, err)
		}
	}

	if cacheKey != nil {
		c.cacheKey = cacheKey.Get()
	}

	return c, nil
}

// files returns the secrets that may be replaced while the process runs.
func (c credential) files() []*secret.File {
	out := []*secret.File{c.client}
	if c.apiKey != nil {
		out = append(out, c.apiKey)
	}
	return out
}

// reload reads the files again and reports whether any secret has changed.
func (c credential) reload() (changed bool, err error) {
	var errs []error
	for _, f := range c.files() {
		fileChanged, err := f.Reload()
		changed = changed || fileChanged
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}
