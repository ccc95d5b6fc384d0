package cortex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/seal"
	"backburn/auth/internal/secret"
	"backburn/auth/internal/statefile"
)

const (
	grantVersion = 1
	grantPurpose = "grant"
	warnAge      = 150 * 24 * time.Hour // warn about older grants, because the hub's are documented to last half a year
	writeTries   = 5
)

// record is a refresh token with its profile's data, as sealed in the grant file and the grants
// bucket. The record with the highest generation is valid.
type record struct {
	Version    int    `json:"v"`
	Generation uint64 `json:"generation"`
	Token      string `json:"refresh_token,omitempty"` // empty: logged out
	Previous   string `json:"previous,omitempty"`      // the token that Token replaced, as a last resort
	Instance   string `json:"instance,omitempty"`
	Region     string `json:"region,omitempty"`
	Obtained   int64  `json:"obtained"` // Unix milliseconds
}

// ErrNoGrant means that no refresh token is stored.
var ErrNoGrant = errors.New("no grant is stored")

// errSuperseded means that the bucket has a newer grant than the one to be stored.
var errSuperseded = errors.New("another process stored a newer grant")

// store keeps a refresh token durably, in a file, a bucket, or both. Callers of load, save and
// flush hold its lock, see lock.
type store struct {
	config Config
	file   grantFile

	mu       sync.Mutex      // never held across a wait
	secrets  []secret.Secret // client secrets seen, newest last, to open values sealed before a rotation
	last     record          // the record last read or written, without tokens
	newest   uint64          // highest generation seen
	reported uint64          // highest generation that load, save or Reload has reported
	unsaved  *record         // a record that could not be saved yet, or nil
	warnedAt time.Time       // when the age of the grant was last warned of
}

// newStore prepares a store. c must have a GrantFile, Grants, or both.
func newStore(c Config) (*store, error) {
	if c.GrantFile == "" && c.Grants == nil {
		return nil, fmt.Errorf("auth.%s.grant_file: is required, unless there is a bucket for grants", c.Name)
	}
	s := &store{config: c, file: grantFile{statefile.File{Path: c.GrantFile, Hook: c.Hook}}}
	s.addSecret(c.Secret.Get())

	return s, nil
}

// addSecret adds a client secret for opening stored values.
func (s *store) addSecret(clientSecret secret.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.secrets); n == 0 || !s.secrets[n-1].Equal(clientSecret) {
		s.secrets = append(s.secrets, clientSecret)
	}
}

// key is the bucket's key for the grant. It does not depend on the secret, so it is found after a
// rotation, and it reveals nothing.
func (s *store) key() string {
	c := s.config.Client
	return grantPurpose + "." + seal.Fingerprint(seal.Joined(c.TokenURL, c.ID, s.config.Name))
}

// location is the file or the bucket.
type location struct {
	name  string // for messages
	place string // to which the sealed value is bound, see seal.Keys.Seal
	read  func(context.Context) ([]byte, error)
	write func(context.Context, []byte, record) error
}

// locations returns where the grant is kept.
func (s *store) locations() []location {
	var out []location
	if s.config.GrantFile != "" {
		out = append(out, location{
			name:  "grant file",
			place: "grant-file",
			read:  func(context.Context) ([]byte, error) { return s.file.read() },
			write: func(_ context.Context, sealed []byte, _ record) error { return s.file.write(sealed) },
		})
	}

	if s.config.Grants != nil {
		out = append(out, location{
			name:  "grants bucket",
			place: seal.Joined(s.config.Grants.Name(), s.key()),
			read:  s.readBucket,
			write: s.writeBucket,
		})
	}

	return out
}

// stored is what the locations contain.
type stored struct {
	newest record  // record of the highest generation; zero if none can be read
	resave bool    // a copy is sealed under an old secret
	errs   []error // one for each location that cannot be read
}

// readAll reads all locations.
func (s *store) readAll(ctx context.Context) stored {
	var all stored
	for _, loc := range s.locations() {
		sealed, err := loc.read(ctx)
		if errors.Is(err, kv.ErrKeyNotFound) {
			continue
		}

		var r record
		var old bool
		if err == nil {
			r, old, err = s.unseal(loc.place, sealed)
		}

		if err != nil {
			all.errs = append(all.errs, fmt.Errorf("%s: %w", loc.name, err))
			continue
		}

		if r.Generation > all.newest.Generation {
			all.newest = r
		}

		all.resave = all.resave || old
	}

	return all
}

// load returns the newest grant that is stored, or ErrNoGrant.
func (s *store) load(ctx context.Context) (record, error) {
	if r := s.unsavedRecord(); r != nil {
		return *r, nil
	}

	all := s.readAll(ctx)
	if all.newest.Generation == 0 && len(all.errs) > 0 {
		return record{}, errors.Join(all.errs...)
	}

	for _, err := range all.errs {
		s.config.Log.Warn().Err(err).Msg("cannot read one copy of the grant")
	}

	s.recordGeneration(all.newest.Generation)
	if all.newest.Token == "" {
		return record{}, ErrNoGrant
	}

	s.remember(all.newest)
	if all.resave {
		if err := s.save(ctx, all.newest); err != nil {
			s.config.Log.Warn().Err(err).Msg("cannot seal the grant with the new client secret; it stays sealed with the old one")
		}
	}

	return all.newest, nil
}

// newestStored returns the highest readable generation, or 0.
func (s *store) newestStored(ctx context.Context) uint64 { return s.readAll(ctx).newest.Generation }

// recordGeneration records that a generation was read or written.
func (s *store) recordGeneration(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = max(s.newest, generation)
	s.reported = s.newest
}

// Generation returns the number of the newest refresh token seen.
func (s *store) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// Reload looks for a grant that is newer than those that were used or reported before, and
// reports whether there is one: somebody logged in, or another process refreshed.
func (s *store) Reload(ctx context.Context) bool {
	stored := s.newestStored(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	if stored <= s.reported {
		return false
	}

	s.newest = max(s.newest, stored)
	s.reported = s.newest

	return true
}

// remember keeps a grant's data for Status, and warns if the grant is old.
func (s *store) remember(r record) {
	s.recordGeneration(r.Generation)
	r.Token, r.Previous = "", ""
	age := time.Since(time.UnixMilli(r.Obtained))

	s.mu.Lock()
	s.last = r
	warn := age > warnAge && time.Since(s.warnedAt) > 24*time.Hour
	if warn {
		s.warnedAt = time.Now()
	}
	s.mu.Unlock()

	if warn { // without the lock, because the log may block
		s.config.Log.Warn().Stringer("age", age.Round(time.Second)).Msg("the grant is old and may soon expire: authorize again")
	}
}

func (s *store) readBucket(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.BucketTimeout)
	defer cancel()

	e, err := s.config.Grants.Get(ctx, s.key())
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		err = errors.New(kv.Reason(err))
	}

	return e.Value, err
}

// writeBucket replaces an older generation in the bucket, and never a newer one.
func (s *store) writeBucket(ctx context.Context, sealed []byte, r record) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.BucketTimeout)
	defer cancel()

	for range writeTries {
		e, err := s.config.Grants.Get(ctx, s.key())
		switch {
		case errors.Is(err, kv.ErrKeyNotFound):
			_, err = s.config.Grants.Create(ctx, s.key(), sealed)
		case err == nil:
			existing, _, unsealErr := s.unseal(seal.Joined(s.config.Grants.Name(), s.key()), e.Value)
			if unsealErr == nil && existing.Generation > r.Generation {
				return errSuperseded
			}

			_, err = s.config.Grants.Update(ctx, s.key(), sealed, e.Revision)
		}

		if err == nil {
			return nil
		}
		if !errors.Is(err, kv.ErrKeyConflict) {
			return errors.New(kv.Reason(err))
		}
	}

	return errors.New("other processes wrote first at every attempt")
}

// save makes r durable. One durable copy is enough: if the second copy fails, it is only logged,
// and written with the next generation.
func (s *store) save(ctx context.Context, r record) error {
	r.Version = grantVersion
	plain, err := json.Marshal(r) //nolint:gosec // sealed below
	if err != nil {
		return err
	}

	keys, err := seal.New(s.config.Seal, s.newestSecret(), s.config.CacheKey)
	if err != nil {
		return err
	}

	var errs []error
	locations := s.locations()
	for _, loc := range locations {
		sealed, err := keys.Seal(grantPurpose, loc.place, plain)
		if err == nil {
			err = loc.write(ctx, sealed, r)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", loc.name, err))
		}
	}

	if len(errs) == len(locations) {
		return errors.Join(errs...)
	}

	for _, err := range errs {
		s.config.Log.Warn().Err(err).Msg("cannot store one copy of the grant")
	}

	s.remember(r)

	return nil
}

func (s *store) newestSecret() secret.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[len(s.secrets)-1]
}

// unseal opens a stored grant with the newest secret that fits. old reports whether it was sealed
// with an older secret than the newest one.
func (s *store) unseal(place string, sealed []byte) (r record, old bool, err error) {
	s.mu.Lock()
	secrets := slices.Clone(s.secrets)
	s.mu.Unlock()

	for i, clientSecret := range slices.Backward(secrets) {
		keys, err := seal.New(s.config.Seal, clientSecret, s.config.CacheKey)
		if err != nil {
			return record{}, false, err
		}

		plain, err := keys.Open(grantPurpose, place, sealed)
		if err != nil {
			continue
		}
		if json.Unmarshal(plain, &r) != nil || r.Version != grantVersion {
			return record{}, false, errors.New("has an unsupported version")
		}

		return r, i != len(secrets)-1, nil
	}

	return record{}, false, fmt.Errorf("%w: the client secret or the cache key has changed since it was stored", seal.ErrNotOpened)
}

// lock serializes the use of the grant among the processes of this machine. Two simultaneous
// refreshes can lose the grant.
func (s *store) lock(ctx context.Context) (unlock func(), err error) {
	if s.config.GrantFile == "" {
		return func() {}, nil
	}
	return s.file.Lock(ctx)
}

// saveOrKeep saves r, or keeps it in memory for the next flush if that fails.
func (s *store) saveOrKeep(ctx context.Context, r record) error {
	s.mu.Lock()
	s.unsaved = &r
	s.mu.Unlock()

	return s.flush(ctx)
}

// flush saves the record that could not be saved before, if there is one. It drops a record that is
// older than the one in the bucket.
func (s *store) flush(ctx context.Context) error {
	r := s.unsavedRecord()
	if r == nil {
		return nil
	}
	if err := s.save(ctx, *r); err != nil && !errors.Is(err, errSuperseded) {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsaved == r {
		s.unsaved = nil
	}

	return nil
}

func (s *store) unsavedRecord() *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved
}

// Status describes the grant without secrets.
type Status struct {
	Obtained   time.Time // zero if there is none
	Generation uint64
	Unsaved    bool // the newest refresh token could not be stored yet
}

// Status reports the state of the grant as it was last read or written.
func (s *store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()

	st := Status{Generation: s.last.Generation, Unsaved: s.unsaved != nil}
	if s.last.Obtained != 0 {
		st.Obtained = time.UnixMilli(s.last.Obtained).UTC()
	}

	return st
}
