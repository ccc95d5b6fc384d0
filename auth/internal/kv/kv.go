// Package kv defines the key-value store that package auth uses.
package kv

import (
	"context"
	"errors"
)

// Bucket is a key-value store with compare-and-set, such as JetStream's. A fleet shares tokens
// through it. Implementations are safe for concurrent use. Package natsbucket has one.
//
// Reads may return old values: package auth relies only on the outcome of writes.
type Bucket interface {
	// Name identifies the bucket; sealed values are bound to it.
	Name() string
	// Get returns the value of key, or ErrKeyNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Create writes key and returns its revision, or returns ErrKeyConflict if the key exists.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update writes key if it is at the given revision, and returns the new revision; otherwise it
	// returns ErrKeyConflict.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Watch sends the current entry, if any, and each later one. A slow reader may miss entries
	// that newer ones replaced. The channel is closed when ctx ends or the watch breaks.
	Watch(ctx context.Context, key string) (<-chan Entry, error)
}

// Entry is one revision of a key.
type Entry struct {
	Value    []byte
	Revision uint64
}

// A Bucket's errors wrap these. Any other error means that the bucket is not reachable now.
var (
	ErrKeyNotFound = errors.New("auth: key not found")
	ErrKeyConflict = errors.New("auth: key is at another revision")
)

// Reason describes a bucket's failure in fixed words, because the error's own text might contain a
// server URL with credentials.
func Reason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ErrKeyConflict):
		return "another process wrote first"
	default:
		return "failed"
	}
}
