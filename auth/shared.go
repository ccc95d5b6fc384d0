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

	"backburn/auth/internal/seal"
)

const (
	tokenPrefix  = "tok"
	tokenPurpose = "token"
)

// shared shares one token among all processes with the same credential, through one key of a
// bucket (see record). A process that needs a new token sets its claim by compare-and-set,
// asks the token endpoint, and replaces the claim with the token by compare-and-set on its
// own claim's revision. Whoever finds a claim waits; a claim that nobody has moved for
// claimTTL, by the clock of the one who waits, is taken over, and an overtaken holder's
// write fails. No clocks are compared for that.
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

// place is where the record is, and under which keys: both follow from the secret.
type place struct {
	keys seal.Keys
	key  string
}

// place returns the place for the secret as it is now.
func (f *shared) place() (place, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clientSecret := f.source.credential.client.Get()
	if f.at.key != "" && f.of.Equal(clientSecret) {
		return f.at, nil
	}
	k, err := seal.New(f.source.profile.sealed(), clientSecret, f.source.credential.cacheKey)
	if err != nil {
		return place{}, err
	}
	name, err := k.Name(tokenPrefix)
	if err != nil {
		return place{}, err
	}
	f.at = place{k, name}
	f.of = clientSecret
	f.lastGen = 0
	if f.unwatch != nil {
		f.unwatch() // the watch is on the old key
	}
	return f.at, nil
}

// view is the record as it was read, and where.
type view struct {
	record
	revision uint64 // 0: there is none
	at       place
}

// obtain gets a token for the fleet or from it. It returns when there is one, when nobody is
// to be asked, or when ctx ends.
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
			return nil, noted{v.Cool.err(f.source.profile.Name, left), v.revision}
		}
		switch {
		case v.Claim != nil && v.Claim.Nonce == nonce:
			return f.fetch(ctx, w, v) // a write whose outcome was unknown had succeeded
		case v.Claim != nil && !f.abandoned(v):
			if err := f.pause(ctx, jittered(f.source.timing.poll)); err != nil {
				return nil, err
			}
			continue
		}
		switch err := f.claim(ctx, &v, w, nonce); {
		case err == nil:
			return f.fetch(ctx, w, v)
		case errors.Is(err, ErrKeyConflict):
			f.source.metrics.conflicts.Inc()
			if err := f.pause(ctx, time.Duration(mathrand.Int64N(int64(20*time.Millisecond)))); err != nil {
				return nil, err
			}
		default:
			if failures++; failures > 1 {
				return f.alone(ctx, w, err)
			}
		}
	}
}

// outdated reports whether the cool-down is about a grant that was replaced since.
func (f *shared) outdated(ctx context.Context, n *coolNote) bool {
	if !n.Permanent {
		return false
	}
	f.source.grant.Reload(ctx)
	return f.source.grant.Generation() > n.Grant
}

// read returns the record. One that cannot be opened, or is older than one seen before,
// counts as empty; it is replaced at its revision like any other.
func (f *shared) read(ctx context.Context) (view, error) {
	at, err := f.place()
	if err != nil {
		return view{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.source.timing.bucketOp)
	defer cancel()
	e, err := f.bucket.Get(ctx, at.key)
	if errors.Is(err, ErrKeyNotFound) {
		f.reached()
		return f.seen(view{at: at}), nil
	}
	if err != nil {
		return view{}, err
	}
	f.reached()
	return f.open(at, e), nil
}

// open unseals an entry.
func (f *shared) open(at place, e Entry) view {
	var r record
	plain, err := at.keys.Open(tokenPurpose, seal.Joined(f.bucket.Name(), at.key), e.Value)
	if err == nil {
		r, err = decodeRecord(plain)
	}
	if err != nil {
		f.source.log.Warn().Err(err).Uint64("revision", e.Revision).Msg("shared token cannot be read, treating it as none")
		r = record{}
	}
	return f.seen(view{record: r, revision: e.Revision, at: at})
}

// seen remembers the highest generation, and empties a view that is behind it.
func (f *shared) seen(v view) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.Generation < f.lastGen {
		if v.Token != "" {
			f.source.log.Warn().Uint64("generation", v.Generation).Uint64("seen", f.lastGen).Msg("shared token is older than one seen before, not using it")
		}
		return view{record{Generation: f.lastGen, Claim: v.Claim}, v.revision, v.at}
	}
	f.lastGen = v.Generation
	return v
}

// adoptable makes a cached token of a record that serves what is wanted, or returns nil.
func (f *shared) adoptable(v view, w want) *held {
	h := f.held(v)
	now := time.Now()
	switch {
	case !h.servable(now) || v.Rejected == h.id:
		return nil
	case w.have != nil && w.have.id == h.id && (w.have.rejected.Load() || w.reason == reasonEarly || w.reason == reasonExpired):
		return nil
	case w.reason == reasonEarly && h.phase(now) != fresh:
		return nil
	}
	return h
}

// held makes a cached token of a record. Its age is judged by the wall clock of who got it
// and our own, so some of its life is taken off.
func (f *shared) held(v view) *held {
	if v.Token == "" {
		return nil
	}
	life := time.Duration(v.Life) * time.Millisecond
	age := max(f.wall().Sub(time.UnixMilli(v.Obtained)), 0)
	if life > 0 {
		life -= min(f.source.timing.foreignTrim, life/10)
	}
	h := hold(v.Token, v.Generation, time.Now().Add(-age), life, f.source.profile.preset().window)
	h.foreign = true
	h.worked.Store(v.Worked)
	return h
}

// abandoned reports whether a claim has not moved for claimTTL since it was first seen here.
func (f *shared) abandoned(v view) bool {
	if f.claimSeen.nonce != v.Claim.Nonce {
		f.claimSeen.nonce, f.claimSeen.at = v.Claim.Nonce, time.Now()
	}
	if time.Since(f.claimSeen.at) < f.source.timing.claimTTL {
		return false
	}
	f.source.log.Warn().Str("holder", v.Claim.Holder).Msg("taking over a claim that has not moved")
	return true
}

// claim writes our claim over v and moves v on to it.
func (f *shared) claim(ctx context.Context, v *view, w want, nonce string) error {
	next := v.record
	next.Claim = &claim{Holder: f.holder, Nonce: nonce}
	if w.have != nil && w.have.rejected.Load() && next.Token != "" && Fingerprint(next.Token) == w.have.id {
		next.Rejected = w.have.id
	}
	revision, err := f.write(ctx, *v, next)
	if err != nil {
		return err
	}
	v.record, v.revision = next, revision
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
	ctx, cancel := context.WithTimeout(ctx, f.source.timing.bucketOp)
	defer cancel()
	if v.revision == 0 {
		return f.bucket.Create(ctx, v.at.key, sealed)
	}
	return f.bucket.Update(ctx, v.at.key, sealed, v.revision)
}

// fetch asks the token endpoint as the holder of the claim at v, and writes what came of it.
// It ends well before the claim counts as abandoned.
func (f *shared) fetch(ctx context.Context, w want, v view) (*held, error) {
	bounded, cancel := context.WithTimeout(ctx, f.source.timing.claimTTL-f.source.timing.bucketOp)
	defer cancel()
	m, err := f.source.mint(bounded)
	if err != nil {
		return nil, f.release(ctx, v, f.source.asAuthError("renewing the token", err))
	}
	if w.have != nil && w.have.rejected.Load() && Fingerprint(m.Value) == w.have.id && !w.probe {
		// The same token again: nobody is to use it.
		_ = f.release(ctx, v, &AuthError{})
		return f.source.hold(m, v.Generation), nil
	}
	next := record{
		Generation: v.Generation + 1,
		Token:      m.Value,
		Life:       m.Life.D.Milliseconds(),
		Obtained:   f.wall().Add(-time.Since(m.Sent)).UnixMilli(),
		Grant:      f.source.grant.Generation(),
	}
	h := f.source.hold(m, next.Generation)
	_, err = f.settle(context.WithoutCancel(ctx), &v, func(r *record) { *r = next })
	if err == nil {
		f.seen(view{record: next, at: v.at})
		return h, nil
	}
	if errors.Is(err, ErrKeyConflict) {
		if theirs := f.adoptable(v, w); theirs != nil {
			return theirs, nil
		}
	}
	f.source.metrics.bucket.Inc()
	f.source.log.Warn().Str("reason", kv.Reason(err)).Msg("token not shared, this process uses its own")
	return h, nil
}

// settle changes the record on behalf of the holder of the claim in v. Others may write about
// the old token meanwhile; as long as the claim is ours, the change is made to what they wrote.
// Otherwise settle returns ErrKeyConflict, and v is what the winner wrote.
func (f *shared) settle(ctx context.Context, v *view, change func(*record)) (revision uint64, err error) {
	nonce := v.Claim.Nonce
	for {
		next := v.record
		change(&next)
		revision, err = f.write(ctx, *v, next)
		if !errors.Is(err, ErrKeyConflict) {
			return revision, err
		}

		f.source.metrics.conflicts.Inc()
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

// noted is an error that the shared record carries since a revision.
type noted struct {
	*AuthError
	revision uint64
}

// Unwrap makes errors.As find the AuthError.
func (n noted) Unwrap() error { return n.AuthError }

// release gives the claim up after a failure, and notes a cool-down for the fleet where the
// server gave an answer: that it could not be reached may be this machine's own trouble.
func (f *shared) release(ctx context.Context, v view, e *AuthError) error {
	var note *coolNote
	if e.Status != 0 {
		n := 0
		if v.Cool != nil && v.Cool.Permanent == e.Permanent {
			n = v.Cool.InARow
		}
		d := f.source.timing.pause(e, n)
		note = newCoolNote(e, f.wall(), d, n+1)
		note.Grant = f.source.grant.Generation()
		e = e.After(d)
	}

	revision, err := f.settle(context.WithoutCancel(ctx), &v, func(r *record) {
		r.Claim = nil
		r.Cool = note
	})
	if err != nil {
		f.source.log.Debug().Str("reason", kv.Reason(err)).Msg("claim not released, it will age")
	}
	if err != nil || note == nil {
		return e
	}
	return noted{e, revision}
}

// reportAccepted tells the fleet that a service took the token with the given fingerprint. It
// ends a cool-down that began because another process met a refusal of the same token.
func (f *shared) reportAccepted(ctx context.Context, id string) {
	_, _ = f.report(ctx, id, func(r *record) bool {
		if r.Worked {
			return false
		}
		r.Worked = true
		if r.Cool != nil && r.Cool.Refused == id {
			r.Cool = nil
		}
		return true
	})
}

// reportRefused tells the fleet that a service refused the token with the given fingerprint
// while it was fresh, and that no other one is to be asked for before the cool-down ends.
// Where another process knows that the token worked, the cool-down ends here instead.
func (f *shared) reportRefused(ctx context.Context, id string, e AuthError) {
	until := time.Now().Add(e.RetryAfter)
	v, ok := f.report(ctx, id, func(r *record) bool {
		if r.Worked || r.Cool.remaining(f.wall()) > 0 {
			return false
		}
		r.Rejected = id
		r.Cool = newCoolNote(&e, f.wall(), time.Until(until), 1)
		r.Cool.Refused, r.Cool.Grant = id, r.Grant
		return true
	})
	if ok {
		f.source.refusalShared(id, v)
	}
}

// report changes the record if it is about the token with the given fingerprint and change
// returns true. It returns the record as it is then; ok is false where there is none or it
// could not be written.
func (f *shared) report(ctx context.Context, id string, change func(*record) bool) (v view, ok bool) {
	for range 5 {
		v, err := f.read(ctx)
		if err != nil || v.Token == "" || Fingerprint(v.Token) != id {
			return view{}, false
		}

		next := v.record
		if !change(&next) {
			return v, true
		}
		revision, err := f.write(ctx, v, next)
		if err == nil {
			return view{next, revision, v.at}, true
		}
		if !errors.Is(err, ErrKeyConflict) {
			return view{}, false
		}
	}
	return view{}, false
}

// alone is what happens while the bucket cannot be reached.
func (f *shared) alone(ctx context.Context, w want, cause error) (*held, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.lost(cause)
	t := f.source.timing
	e := &AuthError{
		Profile: f.source.profile.Name, Op: "sharing the token", Class: ErrTemporary,
		Desc: kv.Reason(cause), Hint: "the key-value bucket cannot be reached: check the NATS server",
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

// lost and reached note whether the bucket answers, and log only when that changes.
func (f *shared) lost(cause error) {
	f.source.metrics.bucket.Inc()
	f.mu.Lock()
	was := f.away
	f.away = true
	f.mu.Unlock()
	if !was {
		f.source.log.Warn().Str("reason", kv.Reason(cause)).Bool("required", f.required).Msg("the token bucket cannot be reached")
	}
}

func (f *shared) reached() {
	f.mu.Lock()
	was := f.away
	f.away = false
	f.mu.Unlock()
	if was {
		f.source.log.Info().Msg("the token bucket answers again")
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
		default:
		}
		f.source.follow(v, f.held(v))
	}
}

// follow does what the record, as another process may have changed it, calls for. h is its
// token, nil where it has none.
func (s *Source) follow(v view, h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return
	}
	if h != nil {
		s.learn(h)
		if v.Rejected != h.id {
			s.adopt(h)
		}
	}
	if s.cool.revision != 0 && v.revision > s.cool.revision && v.Cool.remaining(s.shared.wall()) == 0 {
		s.endCooldown()
	}
}

// refusalShared takes note of what the record says about a fresh token that was refused here.
func (s *Source) refusalShared(id string, v view) {
	s.mu.Lock()
	defer s.mu.Unlock()

	h := s.current.Load()
	switch {
	case h == nil || h.id != id:
	case v.Worked && !h.worked.Load():
		s.accept(h)
	case s.cool.refused == id:
		s.cool.revision = v.revision
	}
}

// learn takes over that the current token worked in another process. mu is held.
func (s *Source) learn(h *held) {
	cur := s.current.Load()
	if cur != nil && cur.id == h.id && h.worked.Load() && !cur.worked.Load() {
		s.accept(cur)
	}
}

// adopt makes a token of the fleet the current one where that is an improvement. mu is held.
func (s *Source) adopt(h *held) {
	now := time.Now()
	if h.phase(now) != fresh || h.id == s.lastRefused {
		return
	}
	cur := s.current.Load()
	if cur.servable(now) && (cur.id == h.id || !h.outlives(cur)) {
		return
	}

	s.install(h)
	s.log.Debug().Str("fingerprint", h.id).Uint64("generation", h.generation).Msg("token of the fleet taken")
}
