package auth

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/oauth"
	"backburn/internal/backoff"
)

// conflictPause is the longest wait after another process wrote first.
const conflictPause = 20 * time.Millisecond

// obtain gets a token for the fleet or from it. It returns when there is a token, when a cool-down
// forbids a request, or when ctx ends.
func (f *shared) obtain(ctx context.Context, w renewalRequest) (*cachedToken, error) {
	if _, err := f.minter.credential.client.Reload(); err != nil {
		f.minter.log.Warn().Err(err).Msg("cannot reload secret; using the old one")
	}

	nonce := rand.Text()
	for failures := 0; ; {
		v, err := f.read(ctx)
		if err != nil {
			return f.obtainAlone(ctx, w, err)
		}
		if h := f.adoptable(v, w); h != nil {
			return h, nil
		}
		if left := v.Cooldown.remaining(f.wall()); left > 0 && !f.outdated(ctx, v.Cooldown) {
			return nil, recordedError{v.Cooldown.authError(f.minter.profile.Name, left), v.revision}
		}

		wait := backoff.Jittered(f.minter.timing.poll) // for the holder of the claim
		if !f.claimedByOther(v, nonce) {
			err := f.claim(ctx, &v, w, nonce)
			if err == nil {
				return f.fetch(ctx, w, v)
			}
			if !errors.Is(err, ErrKeyConflict) {
				failures++
			}
			if failures > 1 {
				return f.obtainAlone(ctx, w, err)
			}

			wait = time.Duration(mathrand.Int64N(int64(conflictPause)))
		}

		if err := f.waitForChange(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// claimedByOther reports whether another process is requesting a token.
func (f *shared) claimedByOther(v view, nonce string) bool {
	return v.Claim != nil && v.Claim.Nonce != nonce && !f.claimAbandoned(v)
}

// outdated reports whether the cool-down concerns a grant that has been replaced.
func (f *shared) outdated(ctx context.Context, n *sharedCooldown) bool {
	if !n.Permanent {
		return false
	}
	f.minter.grant.Reload(ctx)
	return f.minter.grant.Generation() > n.Grant
}

// fetch requests a token as the holder of the claim at v, and writes the outcome. It ends well
// before the claim counts as abandoned.
func (f *shared) fetch(ctx context.Context, w renewalRequest, v view) (*cachedToken, error) {
	bounded, cancel := context.WithTimeout(ctx, f.minter.timing.claimTTL-f.minter.timing.bucketOp)
	defer cancel()
	m, err := f.minter.mint(bounded)
	if err != nil {
		return nil, f.release(ctx, v, f.minter.asAuthError(opRenew, err, w.current))
	}

	if w.refusedBefore(m.Value) { // the same token again: do not use it
		_ = f.release(ctx, v, &AuthError{})
		return f.minter.cacheToken(m, v.Generation), nil
	}

	return f.publish(ctx, w, v, m), nil
}

// publish replaces the claim at v with a new token. It returns the token to use: the new one, or
// that of a process that took over the claim first.
func (f *shared) publish(ctx context.Context, w renewalRequest, v view, m oauth.Minted) *cachedToken {
	next := record{
		Generation: v.Generation + 1,
		Token:      m.Value,
		Life:       m.Life.Duration.Milliseconds(),
		Obtained:   f.wall().Add(-time.Since(m.Sent)).UnixMilli(),
		Grant:      f.minter.grant.Generation(),
	}
	h := f.minter.cacheToken(m, next.Generation)

	_, err := f.updateClaimed(context.WithoutCancel(ctx), &v, func(r *record) { *r = next })
	if err == nil {
		f.rejectOlder(view{record: next, at: v.at})
		return h
	}

	if errors.Is(err, ErrKeyConflict) {
		if theirs := f.adoptable(v, w); theirs != nil {
			return theirs
		}
	}

	f.minter.metrics.bucket.Inc()
	f.minter.log.Warn().Str("reason", kv.Reason(err)).Msg("cannot share the token; this process uses its own")

	return h
}

// obtainAlone gets a token without the fleet while the bucket is unreachable. It does so slowly,
// because every process does the same, and not at all if sharing is required.
func (f *shared) obtainAlone(ctx context.Context, w renewalRequest, cause error) (*cachedToken, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	f.bucketLost(cause)

	t := f.minter.timing
	e := &AuthError{
		Profile: f.minter.profile.Name,
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

	// All processes of the fleet get here at the same time, so wait a random time.
	if err := f.waitForChange(ctx, time.Duration(mathrand.Int64N(int64(t.awayJitter)+1))); err != nil {
		return nil, err
	}

	f.lastAlone = time.Now()

	return f.minter.mintLocal(ctx, w)
}
