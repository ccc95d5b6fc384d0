package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	grantVersion  = 1
	grantPrefix   = "grant"
	grantOldAfter = 150 * 24 * time.Hour // the hub's grants are said to live half a year
)

// grantRecord is a refresh token and what it is for, as it is sealed into the grant file
// and the grants bucket. The highest generation is the one that counts.
type grantRecord struct {
	Version    int    `json:"v"`
	Generation uint64 `json:"generation"`
	Token      string `json:"refresh_token,omitempty"` // empty: logged out
	Previous   string `json:"previous,omitempty"`      // what Token replaced; the last resort
	Instance   string `json:"instance,omitempty"`
	Region     string `json:"region,omitempty"`
	Obtained   int64  `json:"obtained"` // Unix milliseconds
}

// errNoGrant: there is no refresh token anywhere.
var errNoGrant = errors.New("no grant is stored")

// grantStore keeps a refresh token where a crash cannot lose it: in a file, in a bucket, or
// in both. It is used under its lock, see lock.
type grantStore struct {
	profile  Profile
	cacheKey Secret
	file     grantFile // path "": none
	bucket   Bucket    // nil: none
	log      zerolog.Logger

	mu      sync.Mutex  // never held across a wait
	secrets []Secret    // client secrets seen, newest last: what was sealed before a rotation still opens
	last    grantRecord // as it was last read or written, without tokens
	known   uint64      // highest generation seen
	tried   uint64      // highest generation that a refresh or a check has taken notice of
	unsaved *grantRecord
	warned  time.Time
}

// openGrant prepares the store of a KindCortex profile.
func (s *Source) openGrant(o options, cacheKey Secret) error {
	if s.profile.Kind != KindCortex {
		return nil
	}
	if s.profile.GrantFile == "" && o.grants == nil {
		return fmt.Errorf("auth.%s.grant_file: is required for kind %q, unless there is a bucket for grants", s.profile.Name, KindCortex)
	}
	s.store = newGrantStore(s.profile, cacheKey, o, s.log)
	s.store.learn(s.secret.get())
	return nil
}

func newGrantStore(p Profile, cacheKey Secret, o options, log zerolog.Logger) *grantStore {
	return &grantStore{profile: p, cacheKey: cacheKey, file: grantFile{path: p.GrantFile, hook: o.persistHook}, bucket: o.grants, log: log}
}

// learn adds a client secret to those that open what is stored.
func (g *grantStore) learn(secret Secret) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.secrets); n == 0 || !g.secrets[n-1].Equal(secret) {
		g.secrets = append(g.secrets, secret)
	}
}

// name is the bucket's key for the grant. It does not depend on the secret, so that it is
// found again after a rotation, and gives nothing away.
func (g *grantStore) name() string {
	return grantPrefix + "." + Fingerprint(joined(g.profile.tokenURL(), g.profile.ClientID, g.profile.Name))
}

// load returns the newest grant that is stored, or errNoGrant.
func (g *grantStore) load(ctx context.Context) (grantRecord, error) {
	g.mu.Lock()
	unsaved := g.unsaved
	g.mu.Unlock()
	if unsaved != nil {
		return *unsaved, nil
	}
	var best grantRecord
	var errs []error
	old := false // something is sealed under an old secret
	for _, place := range g.places() {
		sealed, err := place.read(ctx)
		if errors.Is(err, ErrKeyNotFound) {
			continue
		}
		var r grantRecord
		var stale bool
		if err == nil {
			r, stale, err = g.unseal(place.name, sealed)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", place.what, err))
			continue
		}
		if r.Generation > best.Generation {
			best = r
		}
		old = old || stale
	}
	if best.Generation == 0 && len(errs) > 0 {
		return grantRecord{}, errors.Join(errs...)
	}
	for _, err := range errs {
		g.log.Warn().Err(err).Msg("one copy of the grant cannot be read")
	}
	g.notice(best.Generation)
	if best.Token == "" {
		return grantRecord{}, errNoGrant
	}
	g.remember(best)
	if old {
		if err := g.save(ctx, best); err != nil {
			g.log.Warn().Err(err).Msg("grant not sealed again under the new client secret")
		}
	}
	return best, nil
}

// remember keeps what may be shown of a grant, and says when it gets old.
func (g *grantStore) remember(r grantRecord) {
	r.Token, r.Previous = "", ""
	g.notice(r.Generation)
	g.mu.Lock()
	g.last = r
	age := time.Since(time.UnixMilli(r.Obtained))
	warn := age > grantOldAfter && time.Since(g.warned) > 24*time.Hour
	if warn {
		g.warned = time.Now()
	}
	g.mu.Unlock()
	if warn {
		g.log.Warn().Dur("age", age).Msg("the grant is old and may soon expire: authorize again")
	}
}

// notice takes note that a generation was read or written.
func (g *grantStore) notice(generation uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = max(g.known, generation)
	g.tried = g.known
}

// generation returns the highest generation seen.
func (g *grantStore) generation() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known
}

// reload looks for a grant that is newer than those seen before, and reports whether there is
// one: somebody has logged in, or another process has refreshed.
func (g *grantStore) reload(ctx context.Context) bool {
	newest := g.newest(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if newest <= g.tried {
		return false
	}
	g.known = max(g.known, newest)
	g.tried = g.known
	return true
}

// places are where a grant is kept. name is what the sealed value is bound to.
type grantPlace struct {
	what, name string
	read       func(context.Context) ([]byte, error)
	write      func(context.Context, []byte, grantRecord) error
}

func (g *grantStore) places() []grantPlace {
	var out []grantPlace
	if g.file.path != "" {
		out = append(out, grantPlace{
			"grant file", "grant-file", func(context.Context) ([]byte, error) { return g.file.read() },
			func(_ context.Context, sealed []byte, _ grantRecord) error { return g.file.write(sealed) },
		})
	}
	if g.bucket != nil {
		out = append(out, grantPlace{"grants bucket", joined(g.bucket.Name(), g.name()), g.readBucket, g.writeBucket})
	}
	return out
}

func (g *grantStore) readBucket(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming().bucketOp)
	defer cancel()
	e, err := g.bucket.Get(ctx, g.name())
	if err != nil && !errors.Is(err, ErrKeyNotFound) {
		err = errors.New(bucketReason(err))
	}
	return e.Value, err
}

// writeBucket writes over any older generation and never over a newer one.
func (g *grantStore) writeBucket(ctx context.Context, sealed []byte, r grantRecord) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming().bucketOp)
	defer cancel()
	for range 5 {
		e, err := g.bucket.Get(ctx, g.name())
		switch {
		case errors.Is(err, ErrKeyNotFound):
			_, err = g.bucket.Create(ctx, g.name(), sealed)
		case err == nil:
			there, _, unsealErr := g.unseal(joined(g.bucket.Name(), g.name()), e.Value)
			if unsealErr == nil && there.Generation > r.Generation {
				return errors.New("another process stored a newer grant")
			}
			_, err = g.bucket.Update(ctx, g.name(), sealed, e.Revision)
		}
		if !errors.Is(err, ErrKeyConflict) {
			if err != nil {
				return errors.New(bucketReason(err))
			}
			return nil
		}
	}
	return errors.New("another process keeps writing")
}

// save makes r durable. One durable copy is enough: where a second one fails, it is only
// logged, and written with the next generation.
func (g *grantStore) save(ctx context.Context, r grantRecord) error {
	r.Version = grantVersion
	plain, err := json.Marshal(r)
	if err != nil {
		return err
	}
	g.mu.Lock()
	secret := g.secrets[len(g.secrets)-1]
	g.mu.Unlock()
	k, err := newKeys(g.profile, secret, g.cacheKey)
	if err != nil {
		return err
	}
	var errs []error
	saved := 0
	for _, place := range g.places() {
		sealed, err := k.seal(grantPrefix, place.name, plain)
		if err == nil {
			err = place.write(ctx, sealed, r)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", place.what, err))
			continue
		}
		saved++
	}
	if saved == 0 {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		g.log.Warn().Err(err).Msg("one copy of the grant not stored")
	}
	g.remember(r)
	return nil
}

// unseal opens a stored grant with the newest secret that fits; old says that it was not
// the newest.
func (g *grantStore) unseal(place string, sealed []byte) (r grantRecord, old bool, err error) {
	g.mu.Lock()
	secrets := append([]Secret(nil), g.secrets...)
	g.mu.Unlock()
	err = errSealed
	for i := len(secrets) - 1; i >= 0 && err != nil; i-- {
		var k keys
		if k, err = newKeys(g.profile, secrets[i], g.cacheKey); err != nil {
			return grantRecord{}, false, err
		}
		var plain []byte
		if plain, err = k.open(grantPrefix, place, sealed); err == nil {
			err = json.Unmarshal(plain, &r)
			old = i != len(secrets)-1
		}
	}
	switch {
	case errors.Is(err, errSealed):
		return grantRecord{}, false, fmt.Errorf("%w: the client secret or the cache key was another one when it was stored", errSealed)
	case err != nil || r.Version != grantVersion:
		return grantRecord{}, false, errors.New("is of another version")
	}
	return r, old, nil
}

// lock serialises the use of the grant among the processes of this machine. Refreshing one
// grant twice at the same time can lose it.
func (g *grantStore) lock(ctx context.Context) (unlock func(), err error) {
	if g.file.path == "" {
		return func() {}, nil
	}
	return g.file.lock(ctx)
}

// flush saves what could not be saved before.
func (g *grantStore) flush(ctx context.Context) error {
	g.mu.Lock()
	r := g.unsaved
	g.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := g.save(ctx, *r); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unsaved == r {
		g.unsaved = nil
	}
	return nil
}
