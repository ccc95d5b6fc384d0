package cortex

import (
	"context"
	"errors"
	"sync"
	"time"

	"backburn/auth/internal/oauth"
	"backburn/auth/internal/seal"
	"backburn/auth/internal/secret"
)

// Grant gets access tokens with the refresh token that a Login stored. Only one goroutine at a time
// may call Mint; all other methods are safe for concurrent use.
type Grant struct {
	*store
	metrics Metrics

	background     context.Context //nolint:containedctx // ends with Close
	stopBackground context.CancelFunc
	wg             sync.WaitGroup
}

// NewGrant prepares a grant. The caller closes it.
func NewGrant(c Config, m Metrics) (*Grant, error) {
	s, err := newStore(c)
	if err != nil {
		return nil, err
	}
	g := &Grant{store: s, metrics: m}
	g.background, g.stopBackground = context.WithCancel(context.Background())

	return g, nil
}

// Close stops the background work, after a last attempt to store an unsaved refresh token.
func (g *Grant) Close() {
	g.stopBackground()
	g.wg.Wait()
}

// Mint gets an access token with the stored refresh token (RFC 6749 section 6). It stores any new
// refresh token before it returns the access token, so a crash in between does not lose the grant.
// If the refresh token cannot be stored, it is kept in memory and storing is retried. Mint's errors
// are *oauth.Error.
func (g *Grant) Mint(ctx context.Context) (oauth.Minted, error) {
	clientSecret := g.config.Secret.Get()
	g.addSecret(clientSecret)
	unlock, err := g.lock(ctx)
	if err != nil {
		return oauth.Minted{}, g.storeError("locking the grant", err)
	}
	defer unlock()

	if err := g.flush(ctx); err != nil {
		// The newest refresh token exists only in memory. Another refresh would replace it with one
		// that cannot be stored either.
		return oauth.Minted{}, g.storeError("storing the grant", err)
	}

	r, err := g.load(ctx) // under the lock: another process may have refreshed
	if err != nil {
		return oauth.Minted{}, g.storeError("reading the grant", err)
	}

	m, r, used, err := g.tryTokens(ctx, clientSecret, r)
	if err != nil {
		return oauth.Minted{}, err
	}

	g.file.At(stageResponse)
	if m.Refresh != r.Token {
		g.replace(ctx, r, m.Refresh, used)
	}

	return m, nil
}

// tryTokens tries the stored refresh token, and repeats the request once if the answer was lost. If
// the server does not know the token, it tries one that another process has stored meanwhile and,
// as a last resort, the previous one. used is the token that worked, and from is its record.
func (g *Grant) tryTokens(ctx context.Context, clientSecret secret.Secret, r record) (m oauth.Minted, from record, used string, err error) {
	try := func(token string) (oauth.Minted, error) {
		g.metrics.Requests.Inc()
		return g.config.Client.Refresh(ctx, clientSecret, secret.New(token))
	}

	m, err = try(r.Token)
	if ambiguous(err) && ctx.Err() == nil {
		m, err = try(r.Token)
	}
	if !errors.Is(err, oauth.ErrReauthorize) {
		return m, r, r.Token, err
	}

	if newer, loadErr := g.load(ctx); loadErr == nil && newer.Token != r.Token {
		if m, err := try(newer.Token); err == nil {
			return m, newer, newer.Token, nil
		}
	}

	if r.Previous != "" {
		g.config.Log.Warn().Msg("the refresh token was rejected; trying the previous one")
		if m, err := try(r.Previous); err == nil {
			return m, r, r.Previous, nil
		}
	}

	return oauth.Minted{}, r, "", err
}

// ambiguous reports whether the server may have performed the refresh although no usable answer
// came.
func ambiguous(err error) bool {
	e, ok := errors.AsType[*oauth.Error](err)
	return ok && e.Temporary() && (e.Status == 0 || e.Status/100 == 2)
}

// replace stores a new refresh token in place of r's. If that fails, it keeps the token in memory,
// logs an error, and retries in the background.
func (g *Grant) replace(ctx context.Context, r record, token, used string) {
	next := r
	next.Generation++
	next.Token = token
	next.Previous = used
	next.Obtained = time.Now().UnixMilli()
	if token != used {
		g.metrics.Rolls.Inc()
		g.config.Log.Info().Uint64("generation", next.Generation).Msg("the server replaced the refresh token")
	}

	if err := g.saveOrKeep(context.WithoutCancel(ctx), next); err != nil {
		g.metrics.Saves.Inc()
		g.config.Log.Error().Err(err).Msg("cannot store the new refresh token; it is lost if this process stops now")
		g.wg.Go(g.retrySaving)
	}
}

// retrySaving retries until the refresh token is stored. When the Grant is closed, it makes a last
// attempt.
func (g *Grant) retrySaving() {
	for closing := false; !closing; {
		select {
		case <-time.After(g.config.RetryDelay):
		case <-g.background.Done():
			closing = true
		}

		ctx, cancel := context.WithTimeout(context.Background(), g.config.BucketTimeout)
		err := g.flushLocked(ctx)
		cancel()
		if err == nil {
			g.config.Log.Info().Msg("the newest refresh token is stored, after failures")
			return
		}

		g.metrics.Saves.Inc()
	}

	g.config.Log.Error().Msg("the new refresh token is lost, because it could not be stored before the stop; log in again")
}

// flushLocked stores the unsaved refresh token under the store's lock.
func (g *Grant) flushLocked(ctx context.Context) error {
	unlock, err := g.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()

	return g.flush(ctx)
}

// storeError turns an error of the store into an *oauth.Error. op is what failed.
func (g *Grant) storeError(op string, err error) error {
	e := &oauth.Error{Profile: g.config.Name, Op: op, Class: oauth.ErrTemporary}
	e.Describe(err, oauth.NewScrubber(g.config.Client.ID, g.config.Secret.Get().Reveal()))

	switch {
	case errors.Is(err, ErrNoGrant), errors.Is(err, seal.ErrNotOpened):
		e.Class = oauth.ErrReauthorize
		e.Permanent = true
		e.Hint = g.config.Client.Hints.Grant
	default:
		e.Hint = "check grant_file and its folder"
	}

	return e
}
