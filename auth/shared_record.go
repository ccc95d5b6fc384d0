package auth

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/seal"
)

const (
	tokenPrefix  = "tok"
	tokenPurpose = "token"
)

// currentKeys returns the keys for the current client secret.
func (s *shared) currentKeys() (recordKeys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	clientSecret := s.minter.credential.client.Get()
	if s.keys.name != "" && s.keysSecret.Equal(clientSecret) {
		return s.keys, nil
	}

	k, err := seal.New(s.minter.profile.sealContext(), clientSecret, s.minter.credential.cacheKey)
	if err != nil {
		return recordKeys{}, err
	}

	name, err := k.Name(tokenPrefix)
	if err != nil {
		return recordKeys{}, err
	}

	s.keys = recordKeys{k, name}
	s.keysSecret = clientSecret
	s.lastGen = 0
	if s.unwatch != nil {
		s.unwatch() // end the watch of the old key
	}

	return s.keys, nil
}

// view is a record as it was read, with its revision and the keys of its place.
type view struct {
	record
	revision uint64 // 0: the bucket has no record
	keys     recordKeys
}

// read returns the record. A record that is unreadable or older than one seen before counts as
// empty; it can be replaced at its revision.
func (s *shared) read(ctx context.Context) (view, error) {
	keys, err := s.currentKeys()
	if err != nil {
		return view{}, err
	}

	ctx, cancel := context.WithTimeout(ctx, s.minter.timing.bucketTimeout)
	defer cancel()
	e, err := s.bucket.Get(ctx, keys.name)
	if errors.Is(err, ErrKeyNotFound) {
		s.bucketReached()
		return s.rejectOlder(view{keys: keys}), nil
	}

	if err != nil {
		return view{}, err
	}

	s.bucketReached()

	return s.unseal(keys, e), nil
}

// unseal unseals an entry of the bucket. An unreadable entry counts as an empty record.
func (s *shared) unseal(keys recordKeys, e Entry) view {
	var r record
	plain, err := keys.sealing.Open(tokenPurpose, seal.Joined(s.bucket.Name(), keys.name), e.Value)
	if err == nil {
		r, err = decodeRecord(plain)
	}

	if err != nil {
		s.minter.log.Warn().Err(err).Uint64("revision", e.Revision).Msg("cannot read the shared token; ignoring it")
		r = record{}
	}

	return s.rejectOlder(view{record: r, revision: e.Revision, keys: keys})
}

// rejectOlder records the highest generation, and clears a view with a lower one.
func (s *shared) rejectOlder(v view) view {
	s.mu.Lock()
	defer s.mu.Unlock()

	if v.Generation >= s.lastGen {
		s.lastGen = v.Generation
		return v
	}

	if v.Token != "" {
		s.minter.log.Warn().Uint64("generation", v.Generation).Uint64("seen", s.lastGen).
			Msg("the shared token is older than one seen before; ignoring it")
	}

	return view{record{Generation: s.lastGen, Claim: v.Claim}, v.revision, v.keys}
}

// adoptable returns the record's token as a cached token if a renewal for req can use it, otherwise
// nil.
func (s *shared) adoptable(v view, req renewalRequest) *cachedToken {
	tok := s.cachedToken(v)
	now := time.Now()
	switch {
	case !tok.servable(now), v.Rejected == tok.id:
		return nil
	case req.reason == reasonEarly && tok.phase(now) != fresh:
		return nil
	case req.current != nil && req.current.id == tok.id && (req.reason != reasonInitial || req.current.rejected.Load()):
		return nil // this is the token to replace
	default:
		return tok
	}
}

// cachedToken returns the record's token as a cached token. The process that requested the token
// and this one measure its age with different wall clocks, so its life is shortened a little.
func (s *shared) cachedToken(v view) *cachedToken {
	if v.Token == "" {
		return nil
	}

	life := time.Duration(v.Life) * time.Millisecond
	if life > 0 {
		life -= min(s.minter.timing.foreignMargin, life/10)
	}

	age := max(s.wall().Sub(time.UnixMilli(v.Obtained)), 0)

	tok := newCachedToken(v.Token, v.Generation, time.Now().Add(-age), life, s.minter.profile.preset().window)
	tok.foreign = true
	tok.accepted.Store(v.Worked)

	return tok
}

// claimAbandoned reports whether this process has seen the claim unchanged for claimTTL.
func (s *shared) claimAbandoned(v view) bool {
	if s.claimSeen.nonce != v.Claim.Nonce {
		s.claimSeen.nonce = v.Claim.Nonce
		s.claimSeen.at = time.Now()
	}
	if time.Since(s.claimSeen.at) < s.minter.timing.claimTTL {
		return false
	}
	s.minter.log.Warn().Str("holder", v.Claim.Holder).Msg("taking over an abandoned claim on the shared token")

	return true
}

// writeClaim writes this process's claim over v and updates v.
func (s *shared) writeClaim(ctx context.Context, v *view, req renewalRequest, nonce string) error {
	next := v.record
	next.Claim = &claim{Holder: s.holder, Nonce: nonce}
	if req.current != nil && req.current.rejected.Load() && next.Token != "" && Fingerprint(next.Token) == req.current.id {
		next.Rejected = req.current.id
	}

	revision, err := s.write(ctx, *v, next)
	if err != nil {
		return err
	}

	v.record = next
	v.revision = revision

	return nil
}

// write replaces v by next and returns the new revision. It returns ErrKeyConflict if the bucket no
// longer has v.
func (s *shared) write(ctx context.Context, v view, next record) (uint64, error) {
	plain, err := next.encode()
	if err != nil {
		return 0, err
	}

	sealed, err := v.keys.sealing.Seal(tokenPurpose, seal.Joined(s.bucket.Name(), v.keys.name), plain)
	if err != nil {
		return 0, err
	}

	ctx, cancel := context.WithTimeout(ctx, s.minter.timing.bucketTimeout)
	defer cancel()
	if v.revision == 0 {
		return s.bucket.Create(ctx, v.keys.name, sealed)
	}

	return s.bucket.Update(ctx, v.keys.name, sealed, v.revision)
}

// conflictPause is the longest wait after another process wrote first.
const conflictPause = 20 * time.Millisecond

// randomUpTo returns a random duration from 0 to d.
func randomUpTo(d time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(d) + 1))
}

// updateClaimed changes the record on behalf of the holder of the claim in v, even if ctx has
// ended. Other processes may update the old token's data meanwhile; while the claim is ours, the
// change is applied to their version. If another process has taken over the claim, updateClaimed
// returns ErrKeyConflict and sets v to the record of that process. It gives up after bucketTimeout,
// because a replica that lags may show the old record for long.
func (s *shared) updateClaimed(ctx context.Context, v *view, change func(*record)) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.minter.timing.bucketTimeout)
	defer cancel()

	nonce := v.Claim.Nonce
	for {
		next := v.record
		change(&next)
		revision, err = s.write(ctx, *v, next)
		if !errors.Is(err, ErrKeyConflict) {
			return revision, err
		}

		s.minter.metrics.conflicts.Inc()
		latest, readErr := s.read(ctx)
		if readErr != nil {
			return 0, readErr
		}

		*v = latest
		if v.Claim == nil || v.Claim.Nonce != nonce {
			return 0, err
		}
		if err := s.waitForChange(ctx, randomUpTo(conflictPause)); err != nil {
			return 0, err
		}
	}
}

// recordedError is an error that the shared record contains.
type recordedError struct {
	*AuthError
	revision uint64 // of the record
}

// Unwrap returns the AuthError.
func (e recordedError) Unwrap() error { return e.AuthError }

// releaseClaim gives up the claim after a failure. It also starts a cool-down for the fleet if the
// server answered; an unreachable server may be a problem of this machine only.
func (s *shared) releaseClaim(ctx context.Context, v view, e *AuthError) error {
	var cool *sharedCooldown
	if e.Status != 0 {
		earlier := 0
		if v.Cooldown != nil && v.Cooldown.Permanent == e.Permanent {
			earlier = v.Cooldown.InARow
		}

		d := s.minter.timing.cooldownLength(e, earlier)
		cool = newSharedCooldown(e, s.wall(), d, earlier+1)
		cool.Grant = s.minter.grant.Generation()
		e = e.After(d)
	}

	revision, err := s.updateClaimed(ctx, &v, func(r *record) {
		r.Claim = nil
		r.Cooldown = cool
	})
	if err != nil {
		s.minter.log.Debug().Str("reason", kv.Reason(err)).Msg("cannot release the claim on the shared token; it will expire")
	}
	if err != nil || cool == nil {
		return e
	}

	return recordedError{e, revision}
}
