package auth

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/seal"
)

// shared makes one token serve all processes with the same credential, through one key of a
// bucket (see record).
//
// A process that needs a new token writes its claim, asks the token endpoint, and replaces the
// claim by the token. Other processes wait while there is a claim. They take it over when they have
// seen it unchanged for claimTTL, by their own clocks. The former holder's write then fails. All
// writes are compare-and-set. The clocks of two processes are compared only to estimate the age of
// a token and the rest of a cool-down.
type shared struct {
	minter   *minter
	bucket   Bucket
	required bool
	holder   string
	wall     func() time.Time // clock for records; tests replace it to simulate wrong clocks

	// changed wakes a waiter when the record changes. Sends never block.
	changed chan struct{}

	// Only the running renewal uses claimSeen and lastAlone. claimSeen says when this process first
	// saw the current claim; lastAlone is when it last requested a token without the bucket.
	claimSeen struct {
		nonce string
		at    time.Time
	}
	lastAlone time.Time

	bucketDown atomic.Bool // the last call to the bucket failed

	mu         sync.Mutex // never held across a wait
	keys       recordKeys
	keysSecret Secret             // the client secret from which keys was derived
	unwatch    context.CancelFunc // ends the running watch
	lastGen    uint64             // highest generation seen; a record with a lower one is a replay
}

// recordKeys says where the record is and how it is sealed. Both depend on the client secret.
type recordKeys struct {
	sealing seal.Keys
	name    string // key in the bucket
}

// newShared returns the shared token of a profile, or nil if tokens are not shared.
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
func (s *shared) bucketLost(cause error) {
	s.minter.metrics.bucketErrors.Inc()
	if !s.bucketDown.Swap(true) {
		s.minter.log.Warn().Str("reason", kv.Reason(cause)).Bool("required", s.required).Msg("cannot reach the token bucket")
	}
}

// bucketReached records that the bucket answers, and logs it after failures.
func (s *shared) bucketReached() {
	if s.bucketDown.Swap(false) {
		s.minter.log.Info().Msg("the token bucket is reachable again")
	}
}

// waitForChange waits for d, for a change of the record, or for the end of ctx.
func (s *shared) waitForChange(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
