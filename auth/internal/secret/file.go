package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"backburn/auth/internal/safepath"
)

const maxFile = 64 << 10 // bytes

// errFile is wrapped by all errors about secret files. These errors contain the path, never the
// contents.
var errFile = errors.New("secret file")

// ReadFile reads one secret from a file. name is a path, or "cred:name" for a systemd
// credential ($CREDENTIALS_DIRECTORY/name).
//
// A byte order mark and one line break at the end are not part of the secret. An empty file, NUL
// bytes, further line breaks, white space at the ends, quotes around the secret and more than 64
// KiB are errors. So are modes that let other users read or replace the file. It must not be
// world-writable, nor may its folder be, unless that is sticky. Nor may the group or others have
// access to the file, except where container platforms and systemd mount secrets, because they
// choose the modes. Modes are not checked on Windows.
func ReadFile(name string) (Secret, error) {
	raw, path, err := read(name)
	if err != nil {
		return Secret{}, err
	}
	value, err := trim(raw)
	if err != nil {
		return Secret{}, fmt.Errorf("%w %s: %w", errFile, path, err)
	}

	return New(value), nil
}

// ReadLines reads a file with one secret per line. It skips empty lines, and applies the rules of
// ReadFile to all others.
func ReadLines(name string) ([]Secret, error) {
	raw, path, err := read(name)
	if err != nil {
		return nil, err
	}

	var secrets []Secret
	number := 0
	for line := range strings.SplitSeq(raw, "\n") {
		number++
		if strings.Trim(line, "\r") == "" {
			continue
		}

		value, err := trim(line + "\n")
		if err != nil {
			return nil, fmt.Errorf("%w %s: line %d: %w", errFile, path, number, err)
		}

		secrets = append(secrets, New(value))
	}

	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w %s: is empty", errFile, path)
	}

	return secrets, nil
}

// read checks a file and returns its contents and its path.
func read(name string) (raw, path string, err error) {
	f, path, err := openFile(name)
	if err != nil {
		return "", path, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = errors.New("is larger than 64 KiB")
	}
	if err != nil {
		return "", path, fmt.Errorf("%w %s: %w", errFile, path, err)
	}

	return string(content), path, nil
}

// CheckFile checks a file as ReadFile does, but not its contents. Use it for keys and credentials
// in other formats.
func CheckFile(name string) error {
	f, _, err := openFile(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// openFile opens the file and checks the open file.
func openFile(name string) (*os.File, string, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, "", err
	}
	if err := safepath.Check(path); err != nil {
		return nil, path, fmt.Errorf("%w %s: %w", errFile, path, err)
	}

	f, err := os.OpenFile(path, os.O_RDONLY|openNonblocking, 0)
	if err != nil {
		return nil, path, fmt.Errorf("%w: %w", errFile, err)
	}

	info, err := f.Stat()
	if err == nil {
		err = checkMode(path, info)
	}

	if err != nil {
		f.Close()
		return nil, path, fmt.Errorf("%w %s: %w", errFile, path, err)
	}

	return f, path, nil
}

// resolve returns the path of a file, or of a systemd credential ("cred:name").
func resolve(name string) (string, error) {
	cred, ok := strings.CutPrefix(name, "cred:")
	if !ok {
		return name, nil
	}

	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	switch {
	case dir == "":
		return "", fmt.Errorf("%w %s: CREDENTIALS_DIRECTORY is not set: add LoadCredential to the systemd unit", errFile, name)
	case cred == "" || cred != filepath.Base(cred) || cred == "." || cred == "..":
		return "", fmt.Errorf("%w %s: is not the name of a systemd credential", errFile, name)
	}

	return filepath.Join(dir, cred), nil
}

// byteOrderMark is written by editors on Windows.
const byteOrderMark = "\xef\xbb\xbf"

// trim returns the secret in the contents of a file, or an error about these contents.
func trim(raw string) (string, error) {
	value, cut := strings.CutSuffix(strings.TrimPrefix(raw, byteOrderMark), "\r\n")
	if !cut {
		value = strings.TrimSuffix(value, "\n")
	}

	switch {
	case value == "":
		return "", errors.New("is empty")
	case strings.ContainsRune(value, 0):
		return "", errors.New("contains a NUL byte; it must be UTF-8")
	case strings.ContainsAny(value, "\r\n"):
		return "", errors.New("contains more than one line")
	case strings.TrimSpace(value) != value:
		return "", errors.New("begins or ends with white space: remove it")
	case isQuoted(value):
		return "", errors.New("has quotes around the secret: remove them")
	}

	return value, nil
}

// isQuoted reports whether a value is in quotes, as in files of environment variables.
func isQuoted(value string) bool {
	first, last := value[0], value[len(value)-1]

	return len(value) > 1 && first == last && (first == '"' || first == '\'')
}

// File is a secret that Reload reads again. Without a path it is constant.
type File struct {
	path string

	mu    sync.Mutex
	value Secret
}

// Open returns a File with value, or with the secret in path. If both are empty it returns nil.
func Open(value Secret, path string) (*File, error) {
	if path == "" && !value.IsSet() {
		return nil, nil
	}

	s := &File{path: path, value: value}
	if path != "" {
		if _, err := s.Reload(); err != nil {
			return nil, err
		}
	}

	return s, nil
}

// Get returns the secret that was last read.
func (s *File) Get() Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// Reload reads the file again and reports whether the secret has changed. On an error the old
// secret stays. The file is opened by its path each time, because Kubernetes replaces secrets by
// moving a link.
func (s *File) Reload() (changed bool, err error) {
	if s.path == "" {
		return false, nil
	}

	v, err := ReadFile(s.path)
	if err != nil {
		return false, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !s.value.Equal(v)
	s.value = v

	return changed, nil
}
