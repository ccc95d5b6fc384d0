// Package seal encrypts values that leave the process: shared tokens and stored refresh tokens.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"backburn/auth/internal/secret"
)

const (
	version = "backburn/auth/v1"
	// pbkdf2Rounds makes it expensive to guess a password from values in the bucket.
	pbkdf2Rounds = 600_000
)

// Credential identifies a credential. Its fields are not secret. Keys.Name depends on all of its
// strings. Of these fields, the encryption key depends only on Kind and, if the secret is
// stretched, on TokenURL and ClientID.
type Credential struct {
	Kind       string
	TokenURL   string
	ClientID   string
	Scope      string
	Audience   string
	InstanceID string

	// Guessable says that people choose the client secret. Without a cache key the secret is then
	// stretched (PBKDF2), because anybody who can read the bucket could try passwords.
	Guessable bool
}

// Keys seals values with AES-256-GCM. The key is derived with HKDF (RFC 5869) from the profile's
// cache key, or from its client secret if it has no cache key.
type Keys struct {
	master  []byte
	kind    string
	context string // identity of the credential, in an unambiguous encoding
	secret  string // with a cache key: the client secret, so that Name changes with it
}

// New derives the keys. cacheKey may be unset.
func New(c Credential, clientSecret, cacheKey secret.Secret) (Keys, error) {
	k := Keys{kind: c.Kind, context: Joined(c.TokenURL, c.ClientID, c.Scope, c.Audience, c.InstanceID)}

	material, err := []byte(clientSecret.Reveal()), error(nil)
	switch {
	case cacheKey.IsSet():
		material = []byte(cacheKey.Reveal())
		k.secret = clientSecret.Reveal()
	case c.Guessable:
		salt := []byte(Joined(version, c.TokenURL, c.ClientID))
		material, err = pbkdf2.Key(sha256.New, clientSecret.Reveal(), salt, pbkdf2Rounds, 32)
	}

	if err != nil {
		return Keys{}, fmt.Errorf("deriving the sealing key: %w", err)
	}
	if len(material) == 0 {
		return Keys{}, errors.New("deriving the sealing key: no secret")
	}

	k.master, err = hkdf.Extract(sha256.New, material, []byte(version))

	return k, err
}

// Fingerprint identifies a token without revealing it: the first 12 hexadecimal digits of its
// SHA-256. It is safe in logs because tokens are long and random. Do not pass passwords to it.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// Joined concatenates parts, each preceded by its length, so different parts never give the same
// result.
func Joined(parts ...string) string {
	var out []byte
	for _, p := range parts {
		out = binary.AppendUvarint(out, uint64(len(p)))
		out = append(out, p...)
	}
	return string(out)
}

// Name returns the key in the bucket under which all processes with this credential share a value.
func (k Keys) Name(prefix string) (string, error) {
	raw, err := hkdf.Expand(sha256.New, k.master, version+"/name/"+Joined(prefix, k.kind, k.context, k.secret), 16)
	return prefix + "." + hex.EncodeToString(raw), err
}

// aead returns the cipher for one purpose.
func (k Keys) aead(purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k.master, version+"/"+Joined(purpose, k.kind), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}

	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts plain for one purpose, and for one place, such as a key in a bucket. Open needs the
// same purpose and place.
func (k Keys) Seal(purpose, place string, plain []byte) ([]byte, error) {
	a, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, plain, []byte(Joined(version, place))), nil //nolint:gosec // the cipher makes its own nonce
}

// ErrNotOpened means that a value cannot be opened: it is damaged, or was sealed with other keys,
// or for another purpose or place.
var ErrNotOpened = errors.New("sealed under another key, or damaged")

// Open decrypts a value that Seal made for the same purpose and place, or returns ErrNotOpened.
func (k Keys) Open(purpose, place string, sealed []byte) ([]byte, error) {
	a, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, sealed, []byte(Joined(version, place)))
	if err != nil {
		return nil, ErrNotOpened
	}

	return plain, nil
}
