// Package natsbucket keeps package auth's shared tokens in a JetStream key-value bucket.
//
// It guarantees that Create and Update are compare-and-set, and maps the server's errors to
// those that auth branches on. It does not promise that Get is up to date: on a cluster any
// replica may answer.
package natsbucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/auth"
)

// Bucket is an auth.Bucket over a JetStream key-value bucket. It is safe for concurrent use. The
// caller owns the connection.
type Bucket struct{ kv jetstream.KeyValue }

var _ auth.Bucket = (*Bucket)(nil)

// New wraps an existing bucket. To write, the NATS user needs permission to publish to
// $KV.<bucket>.>; to read, to request messages of the bucket's stream; to watch, to create
// consumers on it.
func New(kv jetstream.KeyValue) *Bucket { return &Bucket{kv} }

// Sizes of the two buckets, in bytes. A record is a few kilobytes.
const (
	maxTokensBytes = 16 << 20
	maxGrantsBytes = 16 << 20
)

// Tokens opens the bucket for access tokens, and creates it if it does not exist. It keeps one
// revision per key, which expires after ttl without a write. ttl must be at least the longest life
// of a token; 0 means 24 hours.
func Tokens(ctx context.Context, js jetstream.JetStream, name string, replicas int, ttl time.Duration) (*Bucket, error) {
	if ttl == 0 {
		ttl = 24 * time.Hour
	}

	return open(ctx, js, jetstream.KeyValueConfig{
		Bucket:      name,
		Description: "sealed access tokens",
		History:     1,
		TTL:         ttl,
		MaxBytes:    maxTokensBytes,
		Replicas:    replicas,
	})
}

// Grants opens the bucket for refresh tokens, and creates it if it does not exist. It is stored on
// disk, with some history and without expiry, because a lost refresh token requires a new login.
func Grants(ctx context.Context, js jetstream.JetStream, name string, replicas int) (*Bucket, error) {
	return open(ctx, js, jetstream.KeyValueConfig{
		Bucket:      name,
		Description: "sealed refresh tokens",
		History:     5,
		Storage:     jetstream.FileStorage,
		MaxBytes:    maxGrantsBytes,
		Replicas:    replicas,
	})
}

// open prefers an existing bucket with any settings: an operator may have changed them, and the
// role may not be allowed to create buckets.
func open(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (*Bucket, error) {
	kv, err := js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, cfg)
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = js.KeyValue(ctx, cfg.Bucket) // another process created it first
		}
	}

	if err != nil {
		return nil, fmt.Errorf("opening bucket %s: %w", cfg.Bucket, err)
	}

	return New(kv), nil
}

// Name implements auth.Bucket.
func (b *Bucket) Name() string { return b.kv.Bucket() }

// Get implements auth.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (auth.Entry, error) {
	e, err := b.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyDeleted) {
		return auth.Entry{}, fmt.Errorf("get %s: %w", key, auth.ErrKeyNotFound)
	}
	if err != nil {
		return auth.Entry{}, fmt.Errorf("get %s: %w", key, err)
	}

	return auth.Entry{Value: e.Value(), Revision: e.Revision()}, nil
}

// Create implements auth.Bucket.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	revision, err := b.kv.Create(ctx, key, value)
	return revision, mapConflict("create", key, err)
}

// Update implements auth.Bucket.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	next, err := b.kv.Update(ctx, key, value, revision)
	return next, mapConflict("update", key, err)
}

// wrongSequenceBusy is the server's error code while a replicated stream still processes another
// write to the same key. Package jetstream has no constant for it.
const wrongSequenceBusy jetstream.ErrorCode = 10164

// mapConflict maps the server's errors about another revision to ErrKeyConflict. Create over a
// deleted key takes two steps, and a conflict in the second has the error of Update.
func mapConflict(op, key string, err error) error {
	if err == nil {
		return nil
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) ||
		ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == wrongSequenceBusy) {
		return fmt.Errorf("%s %s: %w", op, key, auth.ErrKeyConflict)
	}

	return fmt.Errorf("%s %s: %w", op, key, err)
}

// Watch implements auth.Bucket. A slow reader gets only the newest entry.
func (b *Bucket) Watch(ctx context.Context, key string) (<-chan auth.Entry, error) {
	w, err := b.kv.Watch(ctx, key, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", key, err)
	}
	out := make(chan auth.Entry)
	go forward(ctx, w, out)

	return out, nil
}

// forward sends the watcher's entries to out until ctx ends or the watcher closes. It closes out
// last, so a receiver that sees the channel closed knows that forward has ended.
func forward(ctx context.Context, w jetstream.KeyWatcher, out chan<- auth.Entry) {
	defer close(out)
	defer func() { _ = w.Stop() }()
	var next auth.Entry
	var sendTo chan<- auth.Entry // nil while there is nothing to send
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if e != nil { // nil follows the initial values
				next, sendTo = auth.Entry{Value: e.Value(), Revision: e.Revision()}, out
			}
		case sendTo <- next:
			sendTo = nil
		case <-ctx.Done():
			return
		}
	}
}
