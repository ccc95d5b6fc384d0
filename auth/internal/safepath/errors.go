package safepath

import (
	"errors"
)

// ErrUnsafe is what Check's errors wrap where others can exchange something.
var ErrUnsafe = errors.New("others can exchange it")
