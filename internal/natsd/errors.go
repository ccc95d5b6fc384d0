package natsd

import (
	"errors"
	"time"
)

// Errors of Start, with a text that says what to do. An address in nats.url that is not on this
// machine is an error of type config.Problems.
var (
	ErrLocked    = errors.New("another server uses this store")
	ErrPortInUse = errors.New("the port is in use")
	ErrNoSpace   = errors.New("the disk is full")
)

const (
	startTimeout  = time.Minute // the recovery of a large store takes long
	maxPayload    = 1 << 20     // bytes in one message
	maxMemory     = 64 << 20    // bytes of memory streams, of which there are none
	storePercent  = 80          // the store may use this percentage of its current size plus the free space
	readyInterval = 50 * time.Millisecond
)
