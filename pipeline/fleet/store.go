package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// ErrConflict says that somebody else changed a key in between: read it again.
var ErrConflict = errors.New("changed by somebody else")

// attemptTimeout bounds one try at a read or a write; it is made again until ctx ends.
const attemptTimeout = 5 * time.Second

// Store is the bucket in which the processes of a fleet agree: every key is a JSON value under
// compare-and-set. It is safe for concurrent use.
type Store struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// NewStore returns the store in a bucket.
func NewStore(js jetstream.JetStream, kv jetstream.KeyValue) *Store { return &Store{js: js, kv: kv} }

// Bucket is the bucket itself, for those who list and watch keys.
func (s *Store) Bucket() jetstream.KeyValue { return s.kv }

// Get reads a key, and the revision that a change must name: 0 where there is none. A value that
// cannot be read counts as none and is written over, since it must not keep the fleet from its work.
// A server that does not answer is asked again until ctx ends.
func Get[T any](ctx context.Context, s *Store, key string) (v T, revision uint64, err error) {
	var none T
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, attemptTimeout)
		entry, err := s.kv.Get(actx, key)
		cancel()

		switch {
		case err == nil:
			if json.Unmarshal(entry.Value(), &v) != nil {
				v = none
			}
			return v, entry.Revision(), nil
		case errors.Is(err, jetstream.ErrKeyNotFound):
			return none, 0, nil
		case errors.Is(err, jetstream.ErrInvalidKey), errors.Is(err, nats.ErrConnectionClosed):
			return none, 0, fmt.Errorf("%s: key %s: %w", s.kv.Bucket(), key, err)
		}

		if serr := Sleep(ctx, retryDelay(attempt)); serr != nil {
			return none, 0, fmt.Errorf("%s: key %s: %w (%w)", s.kv.Bucket(), key, serr, err)
		}
	}
}

// Save writes a value if the key is still at the revision; 0 creates it. Whoever lost the race
// gets ErrConflict. So does a writer whose first try succeeded without an answer: callers
// read again, and find their own value.
func (s *Store) Save(ctx context.Context, key string, v any, revision uint64) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("%s: key %s: %w", s.kv.Bucket(), key, err)
	}

	for attempt := 0; ; attempt++ {
		now, err := s.try(ctx, key, b, revision)
		switch {
		case err == nil:
			return now, nil
		case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch), isBusy(err):
			return 0, ErrConflict
		case errors.Is(err, jetstream.ErrInvalidKey), errors.Is(err, nats.ErrConnectionClosed):
			return 0, fmt.Errorf("%s: key %s: %w", s.kv.Bucket(), key, err)
		}

		if serr := Sleep(ctx, retryDelay(attempt)); serr != nil {
			return 0, fmt.Errorf("%s: key %s: %w (%w)", s.kv.Bucket(), key, serr, err)
		}
	}
}

// isBusy reports that a cluster is at work on another change of the same key.
func isBusy(err error) bool {
	var api *jetstream.APIError

	return errors.As(err, &api) && api.ErrorCode == 10164
}

func (s *Store) try(ctx context.Context, key string, b []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()

	if revision == 0 {
		return s.kv.Create(ctx, key, b)
	}

	return s.kv.Update(ctx, key, b, revision)
}

// Change applies change to the newest value until the write succeeds. change returns false to
// leave the value as it is.
func Change[T any](ctx context.Context, s *Store, key string, change func(v *T, exists bool) bool) (T, error) {
	for {
		v, revision, err := Get[T](ctx, s, key)
		if err != nil || !change(&v, revision != 0) {
			return v, err
		}
		if _, err = s.Save(ctx, key, v, revision); !errors.Is(err, ErrConflict) {
			return v, err
		}
	}
}

// follow calls changed with the newest entry of each key that matches, and with every change from then
// on, until ctx ends. A watch that breaks is begun again.
func (s *Store) follow(ctx context.Context, keys string, changed func(jetstream.KeyValueEntry)) error {
	for {
		s.watch(ctx, keys, changed)
		if err := Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// watch is one watch, until it breaks or ctx ends.
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
			if e != nil { // nil: all that was there has been told
				changed(e)
			}
		}
	}
}

func retryDelay(attempt int) time.Duration {
	return pipeline.Backoff(attempt, 50*time.Millisecond, 2*time.Second)
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
