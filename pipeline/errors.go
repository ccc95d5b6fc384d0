package pipeline

import "errors"

// ErrFull says that the queue has no room. Nothing was accepted; the same job may be submitted
// later.
var ErrFull = errors.New("the queue is full")

// ErrConflict says that another writer changed the record meanwhile: read it again.
var ErrConflict = errors.New("changed by somebody else")
