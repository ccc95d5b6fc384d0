// Package credential reads the credentials that a webhook sends: signing keys for Standard
// Webhooks, a bearer token, and additional headers. The configuration check uses it, too.
package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"backburn/auth"
)

// Headers of a delivery, defined by Standard Webhooks.
const (
	HeaderID        = "Webhook-Id"        // the same for each delivery of an event
	HeaderTimestamp = "Webhook-Timestamp" // time of the attempt, in seconds since 1970
	HeaderSignature = "Webhook-Signature" // for each key, "v1," and the base64 HMAC-SHA256 of ID, timestamp and body
)

// Header is one line of a headers file.
type Header struct {
	Name  string
	Value auth.Secret
}

// ReadHeaders reads a file with one "Name: value" per line. It returns none if file is "".
func ReadHeaders(file string) ([]Header, error) {
	if file == "" {
		return nil, nil
	}
	lines, err := auth.ReadSecretLines(file)
	if err != nil {
		return nil, err
	}
	var headers []Header
	for i, line := range lines {
		name, value, ok := strings.Cut(line.Reveal(), ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf(`line %d: expected "Name: value"`, i+1)
		}
		if reserved[name] {
			return nil, fmt.Errorf("line %d: %s is set by Backburn", i+1, name)
		}
		headers = append(headers, Header{name, auth.NewSecret(value)})
	}

	return headers, nil
}

// ReadBearer reads a token for the Authorization header. It returns none if file is "".
func ReadBearer(file string) (auth.Secret, error) {
	if file == "" {
		return auth.Secret{}, nil
	}
	token, err := auth.ReadSecretFile(file)
	if err == nil && !httpguts.ValidHeaderFieldValue(token.Reveal()) {
		err = errors.New("the token contains characters that a header cannot have")
	}

	return token, err
}

// reserved lists headers that the headers file must not set.
var reserved = map[string]bool{
	"Content-Type":      true,
	"Content-Length":    true,
	"Content-Encoding":  true,
	"Transfer-Encoding": true,
	"Connection":        true,
	"Host":              true,
	"User-Agent":        true,
	HeaderID:            true,
	HeaderTimestamp:     true,
	HeaderSignature:     true,
}

const (
	keyPrefix = "whsec_"
	minKey    = 24 // bytes
	maxKey    = 64
	maxKeys   = 2
)

// ReadKeys reads signing keys for Standard Webhooks: "whsec_" and 24 to 64 bytes in base64, one key
// per line. A file may have two keys while the receiver switches from one to the other. ReadKeys
// returns none if file is "".
func ReadKeys(file string) ([]auth.Secret, error) {
	if file == "" {
		return nil, nil
	}
	lines, err := auth.ReadSecretLines(file)
	if err != nil {
		return nil, err
	}
	if len(lines) > maxKeys {
		return nil, fmt.Errorf("expected one key, or two during a change, got %d", len(lines))
	}
	var keys []auth.Secret
	for i, line := range lines {
		encoded, ok := strings.CutPrefix(line.Reveal(), keyPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minKey || len(key) > maxKey {
			return nil, fmt.Errorf("key %d: expected %q and %d to %d bytes in base64", i+1, keyPrefix, minKey, maxKey)
		}
		keys = append(keys, auth.NewSecret(string(key)))
	}

	return keys, nil
}

// Sign returns the value of Webhook-Signature: one signature for each key.
func Sign(keys []auth.Secret, id string, now time.Time, body []byte) string {
	var signatures []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		fmt.Fprintf(mac, "%s.%d.", id, now.Unix())
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}

	return strings.Join(signatures, " ")
}
