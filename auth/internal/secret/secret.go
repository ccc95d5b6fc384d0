// Package secret holds values that show themselves to nobody, and reads them from files.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

// Secret holds a value that shows itself to nobody: not to any verb of fmt, not to JSON
// or text encoders, not to loggers. Reveal is the only way out, and easy to search for.
//
// The value hides behind a pointer, because fmt prints unexported fields of a struct
// without calling their methods. The zero value is an unset secret. Secrets are
// immutable and safe for concurrent use; compare them with Equal, not with ==.
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

// Reveal returns the value, or "" where none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// Equal compares two secrets in time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String says whether a value is set, and nothing else.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return unset
}

// Format writes what String does for every verb and flag.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// GoString writes what String does.
func (s Secret) GoString() string { return s.String() }

// MarshalText encodes what String says.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON encodes what String says.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// UnmarshalText takes a secret out of a configuration. What MarshalText writes does not
// come back: the word for an unset secret is one, the word for a set one is an error.
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
