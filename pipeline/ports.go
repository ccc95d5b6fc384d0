package pipeline

import (
	"errors"
	"time"
)

// ErrFull says that the queue has no room: nothing was accepted, and the same may be submitted
// later.
var ErrFull = errors.New("the queue is full")

// ErrConflict says that somebody else changed a record in between: read it again.
var ErrConflict = errors.New("changed by somebody else")

// ObjectInfo is contents that travel through the object bucket.
type ObjectInfo struct {
	Name    string
	ModTime time.Time // when it was stored
}
