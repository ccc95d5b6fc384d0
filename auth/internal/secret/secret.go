// Package secret has a type for values that must not be printed, and reads them from files.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

// Secret holds a value that fmt, JSON and text encoders and loggers do not print. Only Reveal
// returns it, so uses are easy to find.
//
// The value is behind a pointer, because fmt prints the unexported fields of a struct without
// calling their methods. The zero value is an unset secret. Secrets are immutable and safe for
// concurrent use. Compare them with Equal, not with ==.
type Secret struct{ value *string }

const (
	redacted = "<secret>"
	unset    = "<unset>"
)

// New wraps a value. An empty value gives the unset secret.
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value, or "" if none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// Equal compares two secrets in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns a word that says only whether a value is set.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return unset
}

// Format writes String() for every verb and flag.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// GoString returns String().
func (s Secret) GoString() string { return s.String() }

// MarshalText encodes String().
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON encodes String().
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// UnmarshalText sets the secret from a configuration. Of the two words that MarshalText writes, it
// accepts the one for an unset secret, and rejects the one for a set secret.
func (s *Secret) UnmarshalText(text []byte) error {
	switch string(text) {
	case unset:
		*s = Secret{}
	case redacted:
		return errors.New("auth: the secret was redacted when this was written")
	default:
		*s = New(string(text))
	}
	return nil
}
