package guard

import (
	"errors"
	"fmt"
)

// Own is one of Backburn's own files or folders, or a secret that is not in a file.
type Own struct {
	Key   string        // the configuration key that names it, such as "nats.token_file"
	Path  string        // "" for none; it need not exist yet
	Holds Holds         // of a file
	Value func() string // returns a secret in the configuration itself; nil: none
}

// Holds says what kind of secrets a file has.
type Holds string

// The kinds of secrets in a file.
const (
	Nothing Holds = ""        // no secret
	Secrets Holds = "secret"  // one secret per line, or private keys
	Keys    Holds = "keys"    // private keys, among other text
	Headers Holds = "headers" // HTTP headers, of which authentication headers are secret
)

// ErrOwn is matched by every error about one of Backburn's own files or secrets.
var ErrOwn = errors.New("is Backburn's own")

// Error says what was recognized, without contents.
type Error struct {
	Key      string // the configuration key of the file or the secret
	Contents bool   // the contents contain the secret; otherwise it is the file or folder itself
}

func (e *Error) Error() string {
	if e.Contents {
		return fmt.Sprintf("the contents contain one of Backburn's own secrets (%s)", e.Key)
	}

	return fmt.Sprintf("it is Backburn's own (%s)", e.Key)
}

// Is reports whether target is ErrOwn.
func (e *Error) Is(target error) bool { return target == ErrOwn }
