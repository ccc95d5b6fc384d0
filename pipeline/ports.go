package pipeline

import (
	"errors"
	"time"
)

// ErrFull says that the queue has no room. Nothing was accepted; the same job may be submitted
// later.
var ErrFull = errors.New("the queue is full")

// ErrConflict says that another writer changed the record meanwhile: read it again.
var ErrConflict = errors.New("changed by somebody else")

// ObjectInfo describes contents in the object bucket.
type ObjectInfo struct {
	Name    string
	ModTime time.Time // when it was stored
}
