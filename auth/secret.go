package auth

import "backburn/auth/internal/secret"

// Secret holds a value that fmt, JSON and text encoders and loggers do not print. Reveal returns
// the value, IsSet reports whether there is one, Equal compares two. The zero value is an unset
// secret.
type Secret = secret.Secret

// NewSecret wraps a value. An empty value gives the unset secret.
func NewSecret(value string) Secret { return secret.New(value) }

// ReadSecretFile reads one secret from a file. name is a path, or "cred:name" for a systemd
// credential ($CREDENTIALS_DIRECTORY/name).
//
// A byte order mark and one line break at the end are not part of the secret. An empty file, NUL
// bytes, further line breaks, white space at the ends, quotes around the secret and more than 64
// KiB are errors. So are modes that let other users read or replace the file. It must not be
// world-writable, nor may its folder be, unless that is sticky. Nor may the group or others have
// access to the file, except where container platforms and systemd mount secrets, because they
// choose the modes. Modes are not checked on Windows.
func ReadSecretFile(name string) (Secret, error) { return secret.ReadFile(name) }

// CheckSecretFile checks a file as ReadSecretFile does, but not its contents. Use it for keys and
// credentials in other formats.
func CheckSecretFile(name string) error { return secret.CheckFile(name) }

// ReadSecretLines reads a file with one secret per line, with the rules of ReadSecretFile. It skips
// empty lines; a file without a secret is an error.
func ReadSecretLines(name string) ([]Secret, error) { return secret.ReadLines(name) }
