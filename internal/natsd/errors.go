package natsd

import (
	"errors"
	"time"
)

// The errors with which a server does not start. Each has a text that says what to do. An address
// of another machine is config.Problems.
var (
	ErrLocked    = errors.New("another server uses this store")
	ErrPortInUse = errors.New("the port is in use")
	ErrNoSpace   = errors.New("the disk is full")
)

const (
	startTimeout  = time.Minute // the recovery of a large store takes long
	maxPayload    = 1 << 20     // bytes in one message
	maxMemory     = 64 << 20    // bytes of memory streams, of which there are none
	storePercent  = 80          // percentage of its current size plus the free space that the store may use
	readyInterval = 50 * time.Millisecond
)
