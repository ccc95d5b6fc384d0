package authtest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"backburn/auth"
)

// ErrDown is the error of a Bucket that is down.
var ErrDown = errors.New("authtest: bucket is down")

// Bucket is an auth.Bucket in memory. Its only goroutines are one for each watch, which ends with
// its context, so it works inside a testing/synctest bubble.
type Bucket struct {
	mu       sync.Mutex
	entries  map[string]auth.Entry
	history  [][]byte
	revision uint64
	down     bool
	changed  chan struct{} // closed and replaced at every change
}

var _ auth.Bucket = (*Bucket)(nil)

// NewBucket returns an empty bucket.
func NewBucket() *Bucket {
	return &Bucket{entries: map[string]auth.Entry{}, changed: make(chan struct{})}
}

// SetDown makes every call fail until it is called with false, and breaks watches.
func (b *Bucket) SetDown(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
	b.announce()
}

// Wipe deletes all keys, as if the bucket were deleted and created again.
func (b *Bucket) Wipe() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.entries)
	b.announce()
}

// Put overwrites key regardless of its revision, as somebody with write access could.
func (b *Bucket) Put(key string, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(key, value)
}

// Keys lists the existing keys.
func (b *Bucket) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for k := range b.entries {
		out = append(out, k)
	}
	slices.Sort(out)

	return out
}

// History returns every value that was ever written, oldest first.
func (b *Bucket) History() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.history)
}

// announce wakes the watches. mu is held.
func (b *Bucket) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// put writes key. mu is held.
func (b *Bucket) put(key string, value []byte) uint64 {
	b.revision++
	value = slices.Clone(value)
	b.entries[key] = auth.Entry{Value: value, Revision: b.revision}
	b.history = append(b.history, value)
	b.announce()

	return b.revision
}

// Name implements auth.Bucket.
func (b *Bucket) Name() string { return "memory" }

// Get implements auth.Bucket.
func (b *Bucket) Get(_ context.Context, key string) (auth.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	switch {
	case b.down:
		return auth.Entry{}, ErrDown
	case !ok:
		return auth.Entry{}, auth.ErrKeyNotFound
	}

	return e, nil
}

// Create implements auth.Bucket.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.Update(ctx, key, value, 0)
}

// Update implements auth.Bucket.
func (b *Bucket) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return 0, ErrDown
	case b.entries[key].Revision != revision:
		return 0, auth.ErrKeyConflict
	}

	return b.put(key, value), nil
}

// Watch implements auth.Bucket.
func (b *Bucket) Watch(ctx context.Context, key string) (<-chan auth.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, ErrDown
	}
	out := make(chan auth.Entry)
	go b.watch(ctx, key, out)

	return out, nil
}

func (b *Bucket) watch(ctx context.Context, key string, out chan<- auth.Entry) {
	defer close(out)
	var sent uint64
	for {
		b.mu.Lock()
		e := b.entries[key]
		changed := b.changed
		down := b.down
		b.mu.Unlock()
		if down {
			return
		}

		if e.Revision != 0 && e.Revision != sent {
			select {
			case out <- e:
				sent = e.Revision
				continue
			case <-ctx.Done():
				return
			}
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
