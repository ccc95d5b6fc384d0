package auth

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/seal"
)

// shared makes one token serve all processes with the same credential, through one key of a
// bucket (see record).
//
// A process that needs a new token writes its claim, asks the token endpoint, and replaces the
// claim by the token. Other processes wait while there is a claim. They take it over when it
// is older than claimTTL by their own clocks; the write of a holder that was overtaken then
// fails. All writes are compare-and-set, and no clocks are compared.
type shared struct {
	minter   *minter
	bucket   Bucket
	required bool
	holder   string
	wall     func() time.Time // clock for records; tests replace it to simulate wrong clocks

	// changed wakes a waiter when the record changes. Sends never block.
	changed chan struct{}

	// claimSeen is when the current claim was first seen, and lastAlone when a token was last
	// requested without the bucket. Only the running renewal uses them.
	claimSeen struct {
		nonce string
		at    time.Time
	}
	lastAlone time.Time

	mu         sync.Mutex // never held across a wait
	of         Secret     // secret from which at was derived
	at         recordKeys
	unwatch    context.CancelFunc
	lastGen    uint64 // highest generation seen; an older record is a replay
	bucketDown bool   // the bucket did not answer last time
}

// recordKeys has the record's key in the bucket and its sealing keys. Both depend on the secret.
type recordKeys struct {
	keys seal.Keys
	key  string
}

// newShared returns nil if tokens are not shared.
func newShared(m *minter, o options) (*shared, error) {
	mode := m.profile.Share
	if mode == "" {
		mode = m.profile.Kind.DefaultShare()
	}

	switch {
	case !m.profile.Shares():
		return nil, nil
	case o.bucket == nil && m.profile.Share == ShareRequired:
		return nil, fmt.Errorf("auth.%s.share: \"required\" needs a bucket", m.profile.Name)
	case o.bucket == nil:
		return nil, nil
	}

	host, _ := os.Hostname()

	return &shared{
		minter:   m,
		bucket:   o.bucket,
		required: mode == ShareRequired,
		wall:     o.wall,
		holder:   fmt.Sprintf("%s/%d", host, os.Getpid()),
		changed:  make(chan struct{}, 1),
	}, nil
}

// bucketLost records that the bucket did not answer. The first failure is logged.
func (f *shared) bucketLost(cause error) {
	f.minter.metrics.bucket.Inc()
	f.mu.Lock()
	was := f.bucketDown
	f.bucketDown = true
	f.mu.Unlock()

	if !was {
		f.minter.log.Warn().Str("reason", kv.Reason(cause)).Bool("required", f.required).Msg("cannot reach the token bucket")
	}
}

// bucketReached records that the bucket answers, and logs it after failures.
func (f *shared) bucketReached() {
	f.mu.Lock()
	was := f.bucketDown
	f.bucketDown = false
	f.mu.Unlock()

	if was {
		f.minter.log.Info().Msg("the token bucket is reachable again")
	}
}

// waitForChange waits for d, for a change of the record, or for the end of ctx.
func (f *shared) waitForChange(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-f.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
