package auth

import "backburn/auth/internal/kv"

// Bucket is a key-value store with compare-and-set, as JetStream's: what a fleet shares tokens
// through. Package natsbucket has one.
type Bucket = kv.Bucket

// Entry is one revision of a key.
type Entry = kv.Entry

// What a Bucket's errors wrap. Any other error means that the bucket cannot be reached now.
var (
	ErrKeyNotFound = kv.ErrKeyNotFound
	ErrKeyConflict = kv.ErrKeyConflict
)
