package auth

import (
	"context"
	"errors"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/seal"
)

const (
	tokenPrefix  = "tok"
	tokenPurpose = "token"
)

// recordKeys returns the keys for the current secret.
func (f *shared) recordKeys() (recordKeys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	clientSecret := f.minter.credential.client.Get()
	if f.at.key != "" && f.of.Equal(clientSecret) {
		return f.at, nil
	}

	k, err := seal.New(f.minter.profile.sealed(), clientSecret, f.minter.credential.cacheKey)
	if err != nil {
		return recordKeys{}, err
	}

	name, err := k.Name(tokenPrefix)
	if err != nil {
		return recordKeys{}, err
	}

	f.at = recordKeys{k, name}
	f.of = clientSecret
	f.lastGen = 0
	if f.unwatch != nil {
		f.unwatch() // the watch is on the old key
	}

	return f.at, nil
}

// view is a record, where it was read, and its revision.
type view struct {
	record
	revision uint64 // 0: there is none
	at       recordKeys
}

// read returns the record. A record that is unreadable or older than one seen before counts as
// empty; it can be replaced at its revision.
func (f *shared) read(ctx context.Context) (view, error) {
	at, err := f.recordKeys()
	if err != nil {
		return view{}, err
	}

	ctx, cancel := context.WithTimeout(ctx, f.minter.timing.bucketOp)
	defer cancel()
	e, err := f.bucket.Get(ctx, at.key)
	if errors.Is(err, ErrKeyNotFound) {
		f.bucketReached()
		return f.rejectOlder(view{at: at}), nil
	}

	if err != nil {
		return view{}, err
	}

	f.bucketReached()

	return f.open(at, e), nil
}

// open unseals an entry.
func (f *shared) open(at recordKeys, e Entry) view {
	var r record
	plain, err := at.keys.Open(tokenPurpose, seal.Joined(f.bucket.Name(), at.key), e.Value)
	if err == nil {
		r, err = decodeRecord(plain)
	}

	if err != nil {
		f.minter.log.Warn().Err(err).Uint64("revision", e.Revision).Msg("cannot read the shared token; ignoring it")
		r = record{}
	}

	return f.rejectOlder(view{record: r, revision: e.Revision, at: at})
}

// rejectOlder records the highest generation, and clears a view with a lower one.
func (f *shared) rejectOlder(v view) view {
	f.mu.Lock()
	defer f.mu.Unlock()

	if v.Generation >= f.lastGen {
		f.lastGen = v.Generation
		return v
	}

	if v.Token != "" {
		f.minter.log.Warn().Uint64("generation", v.Generation).Uint64("seen", f.lastGen).
			Msg("shared token is older than one seen before, not using it")
	}

	return view{record{Generation: f.lastGen, Claim: v.Claim}, v.revision, v.at}
}

// adoptable returns the record's token as a cached token if it satisfies w, otherwise nil.
func (f *shared) adoptable(v view, w renewalRequest) *cachedToken {
	h := f.cachedToken(v)
	now := time.Now()
	switch {
	case !h.servable(now), v.Rejected == h.id:
		return nil
	case w.reason == reasonEarly && h.phase(now) != fresh:
		return nil
	case w.current != nil && w.current.id == h.id && (w.reason != reasonInitial || w.current.rejected.Load()):
		return nil // this is the token to replace
	default:
		return h
	}
}

// cachedToken returns the record's token as a cached token. Its age is measured with two wall
// clocks, the issuer process's and our own, so its life is shortened a little.
func (f *shared) cachedToken(v view) *cachedToken {
	if v.Token == "" {
		return nil
	}

	life := time.Duration(v.Life) * time.Millisecond
	if life > 0 {
		life -= min(f.minter.timing.foreignTrim, life/10)
	}

	age := max(f.wall().Sub(time.UnixMilli(v.Obtained)), 0)

	h := newCachedToken(v.Token, v.Generation, time.Now().Add(-age), life, f.minter.profile.preset().window)
	h.foreign = true
	h.accepted.Store(v.Worked)

	return h
}

// claimAbandoned reports whether this process has seen the claim unchanged for claimTTL.
func (f *shared) claimAbandoned(v view) bool {
	if f.claimSeen.nonce != v.Claim.Nonce {
		f.claimSeen.nonce = v.Claim.Nonce
		f.claimSeen.at = time.Now()
	}
	if time.Since(f.claimSeen.at) < f.minter.timing.claimTTL {
		return false
	}
	f.minter.log.Warn().Str("holder", v.Claim.Holder).Msg("taking over an abandoned claim on the shared token")

	return true
}

// claim writes this process's claim over v and updates v.
func (f *shared) claim(ctx context.Context, v *view, w renewalRequest, nonce string) error {
	next := v.record
	next.Claim = &claim{Holder: f.holder, Nonce: nonce}
	if w.current != nil && w.current.rejected.Load() && next.Token != "" && Fingerprint(next.Token) == w.current.id {
		next.Rejected = w.current.id
	}

	revision, err := f.write(ctx, *v, next)
	if err != nil {
		return err
	}

	v.record = next
	v.revision = revision

	return nil
}

// write replaces v by next, if v is still what the bucket holds.
func (f *shared) write(ctx context.Context, v view, next record) (uint64, error) {
	plain, err := next.encode()
	if err != nil {
		return 0, err
	}

	sealed, err := v.at.keys.Seal(tokenPurpose, seal.Joined(f.bucket.Name(), v.at.key), plain)
	if err != nil {
		return 0, err
	}

	ctx, cancel := context.WithTimeout(ctx, f.minter.timing.bucketOp)
	defer cancel()
	if v.revision == 0 {
		return f.bucket.Create(ctx, v.at.key, sealed)
	}

	return f.bucket.Update(ctx, v.at.key, sealed, v.revision)
}

// updateClaimed changes the record on behalf of the holder of the claim in v. Other processes may
// update the old token's data meanwhile; as long as the claim is ours, the change is applied to
// their version. Otherwise updateClaimed returns ErrKeyConflict, and v has the winner's version.
func (f *shared) updateClaimed(ctx context.Context, v *view, change func(*record)) (revision uint64, err error) {
	nonce := v.Claim.Nonce
	for {
		next := v.record
		change(&next)
		revision, err = f.write(ctx, *v, next)
		if !errors.Is(err, ErrKeyConflict) {
			return revision, err
		}

		f.minter.metrics.conflicts.Inc()
		now, readErr := f.read(ctx)
		if readErr != nil {
			return 0, readErr
		}

		*v = now
		if v.Claim == nil || v.Claim.Nonce != nonce {
			return 0, err
		}
	}
}

// recordedError is an error from the shared record at a revision.
type recordedError struct {
	*AuthError
	revision uint64
}

// Unwrap returns the AuthError.
func (n recordedError) Unwrap() error { return n.AuthError }

// release gives up the claim after a failure. It also starts a cool-down for the fleet if the
// server answered; an unreachable server may be a problem of this machine only.
func (f *shared) release(ctx context.Context, v view, e *AuthError) error {
	var note *sharedCooldown
	if e.Status != 0 {
		n := 0
		if v.Cooldown != nil && v.Cooldown.Permanent == e.Permanent {
			n = v.Cooldown.InARow
		}

		d := f.minter.timing.cooldownLength(e, n)
		note = newSharedCooldown(e, f.wall(), d, n+1)
		note.Grant = f.minter.grant.Generation()
		e = e.After(d)
	}

	revision, err := f.updateClaimed(context.WithoutCancel(ctx), &v, func(r *record) {
		r.Claim = nil
		r.Cooldown = note
	})
	if err != nil {
		f.minter.log.Debug().Str("reason", kv.Reason(err)).Msg("cannot release the claim on the shared token; it will expire")
	}
	if err != nil || note == nil {
		return e
	}

	return recordedError{e, revision}
}
