package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/oauth"
	"backburn/internal/backoff"
)

// obtain returns the fleet's token, or requests a new one for the fleet. While another process
// requests one, it waits until ctx ends. It returns an error if a cool-down forbids a request, or
// if the request fails.
func (s *shared) obtain(ctx context.Context, req renewalRequest) (*cachedToken, error) {
	if _, err := s.minter.credential.client.Reload(); err != nil {
		s.minter.log.Warn().Err(err).Msg("cannot reload secret; using the old one")
	}

	nonce := rand.Text()
	for failures := 0; ; {
		v, err := s.read(ctx)
		if err != nil {
			return s.obtainAlone(ctx, req, err)
		}
		if tok := s.adoptable(v, req); tok != nil {
			return tok, nil
		}
		if left := v.Cooldown.remaining(s.wall()); left > 0 && !s.outdated(ctx, v.Cooldown) {
			return nil, recordedError{v.Cooldown.authError(s.minter.profile.Name, left), v.revision}
		}

		wait := backoff.Jittered(s.minter.timing.claimPoll) // while the holder of the claim requests a token
		if !s.claimedByOther(v, nonce) {
			err := s.writeClaim(ctx, &v, req, nonce)
			if err == nil {
				return s.requestToken(ctx, req, v)
			}
			if !errors.Is(err, ErrKeyConflict) {
				failures++
			}
			if failures > 1 {
				return s.obtainAlone(ctx, req, err)
			}

			wait = randomUpTo(conflictPause)
		}

		if err := s.waitForChange(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// claimedByOther reports whether another process is requesting a token.
func (s *shared) claimedByOther(v view, nonce string) bool {
	return v.Claim != nil && v.Claim.Nonce != nonce && !s.claimAbandoned(v)
}

// outdated reports whether the cool-down concerns a grant that has been replaced.
func (s *shared) outdated(ctx context.Context, c *sharedCooldown) bool {
	if !c.Permanent {
		return false
	}
	s.minter.grant.Reload(ctx)
	return s.minter.grant.Generation() > c.Grant
}

// requestToken requests a token as the holder of the claim at v, and writes the outcome. It ends
// before the claim counts as abandoned.
func (s *shared) requestToken(ctx context.Context, req renewalRequest, v view) (*cachedToken, error) {
	bounded, cancel := context.WithTimeout(ctx, s.minter.timing.claimTTL-s.minter.timing.bucketTimeout)
	defer cancel()
	m, err := s.minter.mint(bounded)
	if err != nil {
		return nil, s.releaseClaim(ctx, v, s.minter.asAuthError(opRenew, err, req.current))
	}

	if req.refusedBefore(m.Value) { // the same token again: do not share it; finishRenewal does not install it either
		_ = s.releaseClaim(ctx, v, &AuthError{})
		return s.minter.cacheToken(m, v.Generation), nil
	}

	return s.publish(ctx, req, v, m), nil
}

// publish replaces the claim at v with a new token. It returns the token to use: the new one, or
// that of a process that took over the claim first.
func (s *shared) publish(ctx context.Context, req renewalRequest, v view, m oauth.Minted) *cachedToken {
	next := record{
		Generation: v.Generation + 1,
		Token:      m.Value,
		Life:       m.Life.Duration.Milliseconds(),
		Obtained:   s.wall().Add(-time.Since(m.Sent)).UnixMilli(),
		Grant:      s.minter.grant.Generation(),
	}
	tok := s.minter.cacheToken(m, next.Generation)

	_, err := s.updateClaimed(ctx, &v, func(r *record) { *r = next })
	if err == nil {
		s.rejectOlder(view{record: next, keys: v.keys})
		return tok
	}

	if errors.Is(err, ErrKeyConflict) {
		if theirs := s.adoptable(v, req); theirs != nil {
			return theirs
		}
	}

	s.minter.metrics.bucketErrors.Inc()
	s.minter.log.Warn().Str("reason", kv.Reason(err)).Msg("cannot share the token; this process uses its own")

	return tok
}

// obtainAlone requests a token for this process only, while the bucket is unreachable. It does so
// at a low rate, because every process does the same, and not at all if sharing is required.
func (s *shared) obtainAlone(ctx context.Context, req renewalRequest, cause error) (*cachedToken, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	s.bucketLost(cause)

	t := s.minter.timing
	e := &AuthError{
		Profile: s.minter.profile.Name,
		Op:      "sharing the token",
		Class:   ErrTemporary,
		Desc:    kv.Reason(cause),
		Hint:    "the key-value bucket cannot be reached: check the NATS server",
	}
	if s.required {
		return nil, e
	}
	if left := t.alonePause - time.Since(s.lastAlone); !s.lastAlone.IsZero() && left > 0 {
		return nil, e.After(left)
	}

	// All processes of the fleet come here at the same time, so wait a random time.
	if err := s.waitForChange(ctx, randomUpTo(t.aloneJitter)); err != nil {
		return nil, err
	}

	s.lastAlone = time.Now()

	return s.minter.mintLocal(ctx, req)
}
