package auth_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// canaries are the secrets that tests use; none may show anywhere.
var canaries = []string{"canary-secret-0b7e", "canary-api-key-51ce", "canary-refresh", "canary p@ss:w+rd!/="}

// spellings returns the forms in which a secret could show.
func spellings(secret string) []string {
	return []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(":"+secret)), "=")[2:],
	}
}

// noCanary checks an error under every verb.
func noCanary(t *testing.T, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		noSecret(t, "error "+verb, fmt.Sprintf(verb, err), canaries...)
	}
}

// noSecret checks that text holds none of the secrets in any spelling.
func noSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range spellings(secret) {
			if form != "" && strings.Contains(text, form) {
				t.Errorf("%s shows the secret %q as %q: %.300s", where, secret, form, text)
			}
		}
	}
}
