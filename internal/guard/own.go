package guard

import (
	"errors"
	"fmt"
)

// Own is a file or a folder that is Backburn's own, or a secret that is in none.
type Own struct {
	Key   string        // the configuration key that names it, such as "nats.token_file"
	Path  string        // "" for none; it need not exist yet
	Holds Holds         // of a file
	Value func() string // gives a secret that the configuration holds itself; nil for none
}

// Holds says which secrets are in a file.
type Holds string

// What a file can hold.
const (
	Nothing Holds = ""        // no secret
	Secrets Holds = "secret"  // a secret a line, or private keys
	Keys    Holds = "keys"    // private keys, among other text
	Headers Holds = "headers" // headers of HTTP, of which those are secret that authenticate
)

// ErrOwn is matched by every error that says that something is Backburn's own.
var ErrOwn = errors.New("is Backburn's own")

// Error says what was recognized. It holds no contents.
type Error struct {
	Key      string // the configuration key of the file or the secret
	Contents bool   // contents hold the secret; else it is the very file or folder
}

func (e *Error) Error() string {
	if e.Contents {
		return fmt.Sprintf("the contents hold a secret of Backburn's own (%s)", e.Key)
	}

	return fmt.Sprintf("it is Backburn's own (%s)", e.Key)
}

// Is reports whether target is ErrOwn.
func (e *Error) Is(target error) bool { return target == ErrOwn }
