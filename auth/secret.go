package auth

import "backburn/auth/internal/secret"

// Secret holds a value that shows itself to nobody: not to any verb of fmt, not to JSON or
// text encoders, not to loggers. Reveal returns the value, IsSet reports whether there is one,
// Equal compares two. The zero value is an unset secret.
type Secret = secret.Secret

// NewSecret wraps a value. An empty value gives the unset secret.
func NewSecret(value string) Secret { return secret.New(value) }

// ReadSecretFile reads one secret from a file. name is a path, or "cred:name" for a systemd
// credential ($CREDENTIALS_DIRECTORY/name).
//
// One line break at the end is not part of the secret; any other white space is. An empty
// file, NUL bytes, further line breaks and more than 64 KiB are errors. So are permissions
// that let others of the machine at the secret, or let them exchange the file: a file or
// folder that everybody may write to, or, outside the places where container platforms and
// systemd mount secrets with modes of their own, a file that the group or others may read.
// Windows has no such modes; there they are not checked.
func ReadSecretFile(name string) (Secret, error) { return secret.ReadFile(name) }

// CheckSecretFile judges a file as ReadSecretFile does, whatever it contains: for keys and
// credentials in formats of others.
func CheckSecretFile(name string) error { return secret.CheckFile(name) }

// ReadSecretLines reads several secrets from a file, one a line. It judges the file as
// ReadSecretFile does; empty lines are left out, and without any other it is an error.
func ReadSecretLines(name string) ([]Secret, error) { return secret.ReadLines(name) }
