package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/oauth"
)

const (
	tokenPrefix  = "tok"
	tokenPurpose = "token"

	conflictPause = 20 * time.Millisecond // at most, after another process was ahead
)

// shared makes one token serve all processes with the same credential, through one key of a
// bucket (see record).
//
// A process that needs a new token writes its claim, asks the token endpoint, and replaces the
// claim by the token. Other processes wait while there is a claim. They take it over when it
// is older than claimTTL by their own clocks; the write of a holder that was overtaken then
// fails. All writes are compare-and-set, and no clocks are compared.
type shared struct {
	source   *Source
	bucket   Bucket
	required bool
	holder   string
	wall     func() time.Time // stamps records; a seam for clocks that are wrong

	// changed wakes who waits for the record to change. Sends never block.
	changed chan struct{}

	// claimSeen is when the claim that is there now was first seen, and lastAlone when a token was
	// last asked for without the bucket. Both belong to the renewal that runs: there is one.
	claimSeen struct {
		nonce string
		at    time.Time
	}
	lastAlone time.Time

	mu      sync.Mutex // never held across a wait
	of      Secret     // what at was derived from
	at      place
	unwatch context.CancelFunc
	lastGen uint64 // highest generation seen; an older record is a replay
	away    bool   // the bucket did not answer last time
}

// newShared returns nil where tokens are not shared.
func newShared(s *Source, o options) (*shared, error) {
	mode := s.profile.Share
	if mode == "" {
		mode = s.profile.Kind.DefaultShare()
	}
	switch {
	case !s.profile.Shares():
		return nil, nil
	case o.bucket == nil && s.profile.Share == ShareRequired:
		return nil, fmt.Errorf("auth.%s.share: \"required\" needs a bucket", s.profile.Name)
	case o.bucket == nil:
		return nil, nil
	}

	host, _ := os.Hostname()
	return &shared{
		source:   s,
		bucket:   o.bucket,
		required: mode == ShareRequired,
		wall:     o.wall,
		holder:   fmt.Sprintf("%s/%d", host, os.Getpid()),
		changed:  make(chan struct{}, 1),
	}, nil
}

// obtain gets a token for the fleet or from it. It returns when there is one, when a cool-down
// forbids to ask, or when ctx ends.
func (f *shared) obtain(ctx context.Context, w want) (*held, error) {
	if _, err := f.source.credential.client.Reload(); err != nil {
		f.source.log.Warn().Err(err).Msg("secret not read again")
	}

	nonce := rand.Text()
	for failures := 0; ; {
		v, err := f.read(ctx)
		if err != nil {
			return f.alone(ctx, w, err)
		}
		if h := f.adoptable(v, w); h != nil {
			return h, nil
		}
		if left := v.Cool.remaining(f.wall()); left > 0 && !f.outdated(ctx, v.Cool) {
			return nil, recordedError{v.Cool.err(f.source.profile.Name, left), v.revision}
		}

		wait := jittered(f.source.timing.poll) // for the holder of the claim
		if !f.claimedByOther(v, nonce) {
			err := f.claim(ctx, &v, w, nonce)
			if err == nil {
				return f.fetch(ctx, w, v)
			}
			if !errors.Is(err, ErrKeyConflict) {
				failures++
			}
			if failures > 1 {
				return f.alone(ctx, w, err)
			}
			wait = time.Duration(mathrand.Int64N(int64(conflictPause)))
		}
		if err := f.pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// claimedByOther reports whether another process is at the token endpoint.
func (f *shared) claimedByOther(v view, nonce string) bool {
	return v.Claim != nil && v.Claim.Nonce != nonce && !f.abandoned(v)
}

// outdated reports whether the cool-down is about a grant that was replaced since.
func (f *shared) outdated(ctx context.Context, n *coolNote) bool {
	if !n.Permanent {
		return false
	}
	f.source.grant.Reload(ctx)
	return f.source.grant.Generation() > n.Grant
}

// fetch asks the token endpoint as the holder of the claim at v, and writes what came of it.
// It ends well before the claim counts as abandoned.
func (f *shared) fetch(ctx context.Context, w want, v view) (*held, error) {
	bounded, cancel := context.WithTimeout(ctx, f.source.timing.claimTTL-f.source.timing.bucketOp)
	defer cancel()
	m, err := f.source.mint(bounded)
	if err != nil {
		return nil, f.release(ctx, v, f.source.asAuthError(opRenew, err))
	}

	if w.refused(m.Value) { // the same token again: nobody is to use it
		_ = f.release(ctx, v, &AuthError{})
		return f.source.hold(m, v.Generation), nil
	}
	return f.publish(ctx, w, v, m), nil
}

// publish replaces the claim at v by a new token. It returns the token to use: the new one, or
// that of a process which took the claim over and was faster.
func (f *shared) publish(ctx context.Context, w want, v view, m oauth.Minted) *held {
	next := record{
		Generation: v.Generation + 1,
		Token:      m.Value,
		Life:       m.Life.D.Milliseconds(),
		Obtained:   f.wall().Add(-time.Since(m.Sent)).UnixMilli(),
		Grant:      f.source.grant.Generation(),
	}
	h := f.source.hold(m, next.Generation)

	_, err := f.settle(context.WithoutCancel(ctx), &v, func(r *record) { *r = next })
	if err == nil {
		f.seen(view{record: next, at: v.at})
		return h
	}
	if errors.Is(err, ErrKeyConflict) {
		if theirs := f.adoptable(v, w); theirs != nil {
			return theirs
		}
	}

	f.source.metrics.bucket.Inc()
	f.source.log.Warn().Str("reason", kv.Reason(err)).Msg("cannot share the token; this process uses its own")
	return h
}

// alone gets a token without the fleet, while the bucket cannot be reached: slowly, because
// every process does the same, and not at all where sharing is required.
func (f *shared) alone(ctx context.Context, w want, cause error) (*held, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.lost(cause)

	t := f.source.timing
	e := &AuthError{
		Profile: f.source.profile.Name,
		Op:      "sharing the token",
		Class:   ErrTemporary,
		Desc:    kv.Reason(cause),
		Hint:    "the key-value bucket cannot be reached: check the NATS server",
	}
	if f.required {
		return nil, e
	}
	if left := t.awayPause - time.Since(f.lastAlone); !f.lastAlone.IsZero() && left > 0 {
		return nil, e.After(left)
	}

	// Every process of the fleet is here at the same time: spread out.
	if err := f.pause(ctx, time.Duration(mathrand.Int64N(int64(t.awayJitter)+1))); err != nil {
		return nil, err
	}
	f.lastAlone = time.Now()
	return f.source.mintLocal(ctx, w)
}

// lost records that the bucket did not answer. The first failure is logged.
func (f *shared) lost(cause error) {
	f.source.metrics.bucket.Inc()
	f.mu.Lock()
	was := f.away
	f.away = true
	f.mu.Unlock()

	if !was {
		f.source.log.Warn().Str("reason", kv.Reason(cause)).Bool("required", f.required).Msg("cannot reach the token bucket")
	}
}

// reached records that the bucket answers, and logs it after failures.
func (f *shared) reached() {
	f.mu.Lock()
	was := f.away
	f.away = false
	f.mu.Unlock()

	if was {
		f.source.log.Info().Msg("the token bucket is reachable again")
	}
}

// pause waits for d, for a change of the record, or for the end of ctx.
func (f *shared) pause(ctx context.Context, d time.Duration) error {
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

// run watches the record until ctx ends, so that a token that another process got is here
// before anybody asks for it. Everything works without it, by looking.
func (f *shared) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.watch(ctx)
		select {
		case <-time.After(jittered(f.source.timing.watchRetry)):
		case <-ctx.Done():
		}
	}
}

// watch follows the record until ctx ends, the watch breaks, or the secret is another one.
func (f *shared) watch(ctx context.Context) {
	at, err := f.place()
	if err != nil {
		return
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.unwatch = cancel
	f.mu.Unlock()

	entries, err := f.bucket.Watch(ctx, at.key)
	if err != nil {
		f.source.metrics.bucket.Inc()
		return
	}
	for e := range entries {
		v := f.open(at, e)
		select {
		case f.changed <- struct{}{}:
		default: // a wake-up is due already
		}
		f.source.follow(v, f.held(v))
	}
}
