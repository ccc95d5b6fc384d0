// Package kv is what package auth needs of a key-value store.
package kv

import (
	"context"
	"errors"
)

// Bucket is a key-value store with compare-and-set, as JetStream's: what a fleet shares
// tokens through. Implementations are safe for concurrent use. Package natsbucket has one.
//
// What is read may be old: this package decides by the outcome of writes alone.
type Bucket interface {
	// Name identifies the bucket; sealed values are bound to it.
	Name() string
	// Get returns the value of key, or ErrKeyNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Create writes key where it does not exist, and returns its revision; otherwise
	// ErrKeyConflict.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update writes key where it is at the given revision, and returns the new one;
	// otherwise ErrKeyConflict.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Watch sends the current entry, if any, and each later one, until ctx ends or the
	// watch breaks; then it closes the channel. Entries may be skipped for newer ones.
	Watch(ctx context.Context, key string) (<-chan Entry, error)
}

// Entry is one revision of a key.
type Entry struct {
	Value    []byte
	Revision uint64
}

// What a Bucket's errors wrap. Any other error means that the bucket cannot be reached now.
var (
	ErrKeyNotFound = errors.New("auth: key not found")
	ErrKeyConflict = errors.New("auth: key is at another revision")
)

// Reason says why a bucket failed in words that cannot hold a secret: those of a Bucket's
// implementation might name servers with credentials in their URLs.
func Reason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ErrKeyConflict):
		return "another process was ahead"
	default:
		return "failed"
	}
}
