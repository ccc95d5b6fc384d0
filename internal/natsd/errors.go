package natsd

import (
	"errors"
	"time"
)

// The conditions under which a server does not start. Each comes with a text that says
// what to do about it. An address that is not this machine's is config.Problems.
var (
	ErrLocked    = errors.New("another server uses this store")
	ErrPortInUse = errors.New("the port is in use")
	ErrNoSpace   = errors.New("the disk is full")
)

const (
	startTimeout  = time.Minute // recovery of a large store takes its time
	maxPayload    = 1 << 20     // bytes in one message
	maxMemory     = 64 << 20    // bytes of memory streams, of which there are none
	storePercent  = 80          // of what the store has and could have, is how much it may use
	readyInterval = 50 * time.Millisecond
)
