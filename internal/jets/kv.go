package jets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnreadable is matched by errors about a value that is not JSON of the expected shape.
var ErrUnreadable = errors.New("value cannot be read")

// KV holds values of one type in a key-value bucket, as JSON. It is safe for concurrent use.
//
// On a cluster a read may be outdated, because any replica answers. A write is never outdated,
// because it succeeds only at the key's newest revision.
type KV[T any] struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
}

// NewKV returns a KV for a bucket that js opened.
func NewKV[T any](js jetstream.JetStream, bucket jetstream.KeyValue) KV[T] {
	return KV[T]{js: js, bucket: bucket}
}

// Entry is the value of a key. Revision is 0 if the key does not exist.
type Entry[T any] struct {
	Value    T
	Revision uint64
}

// Get reads a key, and retries until the server answers or ctx ends. For a missing key it returns
// the zero entry. For an unreadable value it returns ErrUnreadable, with the revision that a write
// must name to replace it.
func (k KV[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	var raw jetstream.KeyValueEntry
	err := k.retry(ctx, func(ctx context.Context) (err error) {
		raw, err = k.bucket.Get(ctx, key)
		return err
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Entry[T]{}, nil
	}
	if err != nil {
		return Entry[T]{}, k.failed(key, err)
	}

	var value T
	if err := json.Unmarshal(raw.Value(), &value); err != nil {
		return Entry[T]{Revision: raw.Revision()}, k.failed(key, fmt.Errorf("%w: %w", ErrUnreadable, err))
	}
	return Entry[T]{Value: value, Revision: raw.Revision()}, nil
}

// Set writes a value if the key still has the given revision (0: the key does not exist), and
// returns the new revision. Otherwise the error is of class Conflict. It is also of that class if
// an earlier attempt without an answer succeeded; the caller reads again and finds its own value.
func (k KV[T]) Set(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return 0, k.failed(key, err)
	}

	var next uint64
	err = k.retry(ctx, func(ctx context.Context) (err error) {
		next, err = k.write(ctx, key, body, revision)
		return err
	})
	if err != nil {
		return 0, k.failed(key, err)
	}
	return next, nil
}

// Change applies change to the newest value until the write succeeds, and returns the resulting
// entry. change may be called several times, each time with a fresh value: the zero value if the
// key does not exist or is unreadable. If an answer is lost, that value may be change's own result.
// change returns false to leave the key unchanged.
func (k KV[T]) Change(ctx context.Context, key string, change func(*T) bool) (Entry[T], error) {
	for {
		entry, err := k.Get(ctx, key)
		if err != nil && !errors.Is(err, ErrUnreadable) {
			return Entry[T]{}, err
		}
		if !change(&entry.Value) {
			return entry, nil
		}

		revision, err := k.Set(ctx, key, entry.Value, entry.Revision)
		if err == nil {
			return Entry[T]{Value: entry.Value, Revision: revision}, nil
		}
		if !Is(err, Conflict) {
			return Entry[T]{}, err
		}
		// A replica may still answer the next read with the old revision.
		if err := pause(ctx, conflictPause); err != nil {
			return Entry[T]{}, k.failed(key, err)
		}
	}
}

// conflictPause is how long to wait for a replica to catch up with its leader.
const conflictPause = 5 * time.Millisecond

// write is one attempt.
func (k KV[T]) write(ctx context.Context, key string, body []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return k.bucket.Create(ctx, key, body) // also replaces the marker of a removed key
	}

	return k.bucket.Update(ctx, key, body, revision)
}

// retry is Retry for a request about the bucket.
func (k KV[T]) retry(ctx context.Context, request func(context.Context) error) error {
	name := k.bucket.Bucket()

	return Retry(ctx, func(ctx context.Context) error {
		return unlessDenied(k.js.Conn(), func() error { return request(ctx) }, KeySubject+name+".", KeyStream+name)
	})
}

func (k KV[T]) failed(key string, err error) error {
	return Explain("key "+key+" of bucket "+k.bucket.Bucket(), err)
}
