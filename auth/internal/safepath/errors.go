package safepath

import (
	"errors"
)

// ErrUnsafe is wrapped by errors of Check if other users can replace a path element.
var ErrUnsafe = errors.New("other users can replace it")
