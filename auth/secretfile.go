package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const maxSecretFile = 64 << 10 // bytes

// errSecretFile wraps everything that is wrong with a secret file. Its texts name the path,
// never the contents.
var errSecretFile = errors.New("secret file")

// ReadSecretFile reads one secret from a file. name is a path, or "cred:name" for a systemd
// credential ($CREDENTIALS_DIRECTORY/name).
//
// One line break at the end is not part of the secret; any other white space is. An empty
// file, NUL bytes, further line breaks and more than 64 KiB are errors. So are permissions
// that let others of the machine at the secret: a file that everybody may write to, or,
// outside the places where container platforms and systemd mount secrets with modes of
// their own, a file that the group or others may read. Windows has no such modes; there
// they are not checked.
func ReadSecretFile(name string) (Secret, error) {
	f, path, err := openSecretFile(name)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return Secret{}, fmt.Errorf("%w %s: %w", errSecretFile, path, err)
	}
	value, err := trimSecret(string(raw))
	if err != nil {
		return Secret{}, fmt.Errorf("%w %s: %w", errSecretFile, path, err)
	}
	return NewSecret(value), nil
}

// CheckSecretFile judges a file as ReadSecretFile does, whatever it contains: for keys and
// credentials in formats of others.
func CheckSecretFile(name string) error {
	f, _, err := openSecretFile(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// openSecretFile opens the file and judges what was opened.
func openSecretFile(name string) (*os.File, string, error) {
	path, err := secretPath(name)
	if err != nil {
		return nil, "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblocking, 0)
	if err != nil {
		return nil, path, fmt.Errorf("%w: %w", errSecretFile, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkSecretMode(path, info)
	}
	if err != nil {
		f.Close()
		return nil, path, fmt.Errorf("%w %s: %w", errSecretFile, path, err)
	}
	return f, path, nil
}

func secretPath(name string) (string, error) {
	cred, ok := strings.CutPrefix(name, "cred:")
	if !ok {
		return name, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	switch {
	case dir == "":
		return "", fmt.Errorf("%w %s: CREDENTIALS_DIRECTORY is not set: load it with LoadCredential in the unit", errSecretFile, name)
	case cred == "" || cred != filepath.Base(cred) || cred == "." || cred == "..":
		return "", fmt.Errorf("%w %s: not a credential's name", errSecretFile, name)
	}
	return filepath.Join(dir, cred), nil
}

func trimSecret(raw string) (string, error) {
	if len(raw) > maxSecretFile {
		return "", errors.New("is larger than 64 KiB")
	}
	value, cut := strings.CutSuffix(raw, "\r\n")
	if !cut {
		value = strings.TrimSuffix(raw, "\n")
	}
	switch {
	case value == "":
		return "", errors.New("is empty")
	case strings.ContainsRune(value, 0):
		return "", errors.New("holds a NUL byte")
	case strings.ContainsAny(value, "\r\n"):
		return "", errors.New("holds more than one line")
	}
	return value, nil
}

// mountedSecret reports whether path is where Docker, Kubernetes or systemd put secrets:
// their modes (0444, 0644, 0440) are not for the operator to choose, and who can look into
// the container can read the secret anyway.
func mountedSecret(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	dirs := []string{"/run/secrets", "/var/run/secrets", "/run/credentials"}
	if d := os.Getenv("CREDENTIALS_DIRECTORY"); d != "" {
		dirs = append(dirs, d)
	}
	for _, d := range dirs {
		if rel, err := filepath.Rel(d, abs); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	// A Kubernetes volume anywhere: its files are links into "..data", which is a link too.
	target, err := os.Lstat(filepath.Join(filepath.Dir(abs), "..data"))
	return err == nil && target.Mode()&fs.ModeSymlink != 0
}

// secretFile is a secret that is read again when somebody needs to know whether it changed.
// Without a path it is constant.
type secretFile struct {
	path string

	mu    sync.Mutex
	value Secret
}

// openSecret takes a value, or reads path. Both empty make nil.
func openSecret(value Secret, path string) (*secretFile, error) {
	if path == "" && !value.IsSet() {
		return nil, nil
	}
	s := &secretFile{path: path, value: value}
	if path != "" {
		if _, err := s.reload(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openSecrets reads the secrets of a profile: the client's, or the key that stands for it,
// and the API key that goes beside the token.
func openSecrets(p Profile) (secret, apiKey *secretFile, err error) {
	fail := func(key string, err error) (*secretFile, *secretFile, error) {
		return nil, nil, fmt.Errorf("auth.%s.%s: %w", p.Name, key, err)
	}
	if p.Kind == KindAPIKey {
		if secret, err = openSecret(Secret{}, p.APIKeyFile); err != nil {
			return fail("api_key_file", err)
		}
		return secret, nil, nil
	}
	if secret, err = openSecret(p.ClientSecret, p.ClientSecretFile); err != nil {
		return fail("client_secret_file", err)
	}
	if apiKey, err = openSecret(Secret{}, p.APIKeyFile); err != nil {
		return fail("api_key_file", err)
	}
	return secret, apiKey, nil
}

// get returns the secret as it was last read.
func (s *secretFile) get() Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// reload reads the file again and reports whether the secret is another one. Where that
// fails, the old one stays. The file is opened by its path each time, because Kubernetes
// replaces secrets by moving a link.
func (s *secretFile) reload() (changed bool, err error) {
	if s.path == "" {
		return false, nil
	}
	v, err := ReadSecretFile(s.path)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !s.value.Equal(v)
	s.value = v
	return changed, nil
}

// reloadSecrets reads all secret files again and reports whether any holds another one. The
// current token stays.
func (s *Source) reloadSecrets() (changed bool, err error) {
	var errs []error
	for _, f := range []*secretFile{s.secret, s.apiKey} {
		if f != nil {
			another, err := f.reload()
			changed = changed || another
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// knownSecrets lists what must never show, for scrubbing.
func (s *Source) knownSecrets() []string {
	var out []string
	for _, f := range []*secretFile{s.secret, s.apiKey} {
		if f != nil {
			out = append(out, f.get().Reveal())
		}
	}
	if h := s.current.Load(); h != nil {
		out = append(out, h.value)
	}
	return out
}
