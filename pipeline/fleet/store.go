package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
)

// Store is the control bucket with the shared state of a fleet. Every key has a JSON value. The
// values change by compare-and-set, except those that a member writes about itself. The process
// that replaces a dead member may remove the dead member's last-seen record. A Store is safe for
// concurrent use.
type Store struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// NewStore returns the store in a bucket.
func NewStore(js jetstream.JetStream, kv jetstream.KeyValue) *Store { return &Store{js: js, kv: kv} }

// Bucket returns the bucket itself, for listing and watching keys.
func (s *Store) Bucket() jetstream.KeyValue { return s.kv }

// Get returns the value of a key and the revision to pass to Save, which is 0 if the key does not
// exist. For an unreadable value, Get returns the zero value and the revision. So the next Save
// overwrites the value, which therefore cannot stop the fleet. Get repeats the request until the
// server answers or ctx ends.
func Get[T any](ctx context.Context, s *Store, key string) (v T, revision uint64, err error) {
	e, err := jets.NewKV[T](s.js, s.kv).Get(ctx, key)
	if err != nil && !errors.Is(err, jets.ErrUnreadable) {
		return v, 0, err
	}

	return e.Value, e.Revision, nil
}

// Save writes a value if the key still has the revision; revision 0 creates the key. If another
// writer was faster, Save returns pipeline.ErrConflict. It also returns that if its first attempt
// succeeded but the answer was lost: the caller then reads the key again and finds its own value.
func (s *Store) Save(ctx context.Context, key string, v any, revision uint64) (uint64, error) {
	next, err := jets.NewKV[any](s.js, s.kv).Set(ctx, key, v, revision)
	if jets.Is(err, jets.Conflict) {
		return 0, pipeline.ErrConflict
	}

	return next, err
}

// Change applies change to the newest value until the write succeeds. change returns false to leave
// the value as it is.
func Change[T any](ctx context.Context, s *Store, key string, change func(*T) bool) error {
	_, err := jets.NewKV[T](s.js, s.kv).Change(ctx, key, change)

	return err
}

// follow calls changed with the newest entry of each matching key, and with later changes, until
// ctx ends. It restarts a watch that breaks, and then passes on the newest entries again.
func (s *Store) follow(ctx context.Context, keys string, changed func(jetstream.KeyValueEntry)) error {
	for {
		s.watch(ctx, keys, changed)
		if err := pipeline.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// watch runs one watch for follow, until the watch breaks or ctx ends.
func (s *Store) watch(ctx context.Context, keys string, changed func(jetstream.KeyValueEntry)) {
	w, err := s.kv.Watch(ctx, keys)
	if err != nil {
		return
	}
	defer func() { _ = w.Stop() }()

	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if e != nil { // nil: all existing keys were delivered
				changed(e)
			}
		}
	}
}
