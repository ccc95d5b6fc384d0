// Package safepath checks whether other users of the machine can replace an element of a path: the
// file, for example by a link, or one of its folders.
package safepath

import "errors"

// ErrUnsafe is wrapped by errors of Check if other users can replace a path element.
var ErrUnsafe = errors.New("other users can replace it")
