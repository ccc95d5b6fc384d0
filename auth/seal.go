package auth

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
)

const (
	sealVersion = "backburn/auth/v1"
	// pbkdf2Rounds make guessing a password dear for who can read the bucket.
	pbkdf2Rounds = 600_000
)

// keys seal what leaves the process: AES-256-GCM under a key derived (HKDF, RFC 5869) from
// the profile's cache key, or else from its client secret. WatchGuard's secrets are chosen
// by people, and anybody who can read the bucket could try them one by one: without a cache
// key those are stretched with PBKDF2 first.
type keys struct {
	master  []byte
	kind    Kind
	context string // what the credential is, in an order that cannot be read in two ways
	secret  string // bound into names, so that after a rotation old and new do not fight
}

func newKeys(p Profile, secret, cacheKey Secret) (keys, error) {
	k := keys{kind: p.Kind, context: joined(p.tokenURL(), p.ClientID, p.scope(), p.Audience, p.InstanceID)}
	material, err := []byte(secret.Reveal()), error(nil)
	switch {
	case cacheKey.IsSet():
		material = []byte(cacheKey.Reveal())
		k.secret = secret.Reveal()
	case p.Kind == KindWatchGuard:
		material, err = pbkdf2.Key(sha256.New, secret.Reveal(), []byte(joined(sealVersion, p.tokenURL(), p.ClientID)), pbkdf2Rounds, 32)
	}
	if err != nil {
		return keys{}, fmt.Errorf("deriving the sealing key: %w", err)
	}
	if len(material) == 0 {
		return keys{}, errors.New("deriving the sealing key: no secret")
	}
	k.master, err = hkdf.Extract(sha256.New, material, []byte(sealVersion))
	return k, err
}

// joined concatenates parts with their lengths.
func joined(parts ...string) string {
	var out []byte
	for _, p := range parts {
		out = binary.AppendUvarint(out, uint64(len(p)))
		out = append(out, p...)
	}
	return string(out)
}

// name returns the key under which a bucket holds what the credential's owners share.
func (k keys) name(prefix string) (string, error) {
	raw, err := hkdf.Expand(sha256.New, k.master, sealVersion+"/name/"+joined(prefix, string(k.kind), k.context, k.secret), 16)
	return prefix + "." + hex.EncodeToString(raw), err
}

// aead returns the cipher for one purpose.
func (k keys) aead(purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k.master, sealVersion+"/"+joined(purpose, string(k.kind)), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts plain for one place; it opens nowhere else.
func (k keys) seal(purpose, place string, plain []byte) ([]byte, error) {
	a, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, plain, []byte(joined(sealVersion, place))), nil
}

// errSealed: a value was not sealed by us, or for another place, or under another secret.
var errSealed = errors.New("sealed under another key, or damaged")

func (k keys) open(purpose, place string, sealed []byte) ([]byte, error) {
	a, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, sealed, []byte(joined(sealVersion, place)))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
