package auth

import "backburn/auth/internal/kv"

// Bucket is a key-value store with compare-and-set, such as JetStream's. A fleet shares tokens
// through it. Package natsbucket has one.
type Bucket = kv.Bucket

// Entry is one revision of a key.
type Entry = kv.Entry

// A Bucket's errors wrap these. Any other error means that the bucket is not reachable now.
var (
	ErrKeyNotFound = kv.ErrKeyNotFound
	ErrKeyConflict = kv.ErrKeyConflict
)
