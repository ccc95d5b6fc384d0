package auth

import (
	"context"
	"errors"
	"time"
)

// refreshGrant gets an access token by the stored refresh token, RFC 6749 section 6, and
// stores the refresh token that may come with it before the access token is given out: who
// dies in between still has one that works.
func (s *Source) refreshGrant(ctx context.Context, secret Secret) (minted, error) {
	s.store.learn(secret)
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return minted{}, s.grantError(err)
	}
	defer unlock()
	if err := s.store.flush(ctx); err != nil {
		// The newest refresh token exists in memory alone. Another roll would not help.
		return minted{}, s.grantError(err)
	}
	g, err := s.store.load(ctx) // under the lock: another process may have refreshed
	if err != nil {
		return minted{}, s.grantError(err)
	}
	m, used, err := s.refreshAny(ctx, secret, g)
	if err != nil {
		return minted{}, err
	}
	s.store.file.at(stageResponse)
	if m.refresh == g.Token {
		return m, nil
	}
	next := g
	next.Generation, next.Token, next.Previous, next.Obtained = g.Generation+1, m.refresh, used, time.Now().UnixMilli()
	if m.refresh != used {
		s.metrics.rolls.Inc()
		s.log.Info().Uint64("generation", next.Generation).Msg("the server replaced the refresh token")
	}
	s.keep(ctx, next)
	return m, nil
}

// refreshAny tries the stored refresh token, once more where it is not known whether the
// server saw the request, and, where the server does not know it, the one that another
// process has stored meanwhile or, as a last resort, the previous one.
func (s *Source) refreshAny(ctx context.Context, secret Secret, g grantRecord) (m minted, used string, err error) {
	try := func(token string) (minted, error) {
		s.metrics.requests.Inc()
		return s.grants.refresh(ctx, secret, NewSecret(token))
	}
	used = g.Token
	if m, err = try(used); ambiguous(err) && ctx.Err() == nil {
		m, err = try(used)
	}
	if !errors.Is(err, ErrReauthorize) {
		return m, used, err
	}
	if again, loadErr := s.store.load(ctx); loadErr == nil && again.Token != g.Token {
		if m, err := try(again.Token); err == nil {
			return m, again.Token, nil
		}
	}
	if g.Previous != "" {
		s.log.Warn().Msg("the refresh token is refused, trying the previous one")
		if m, err := try(g.Previous); err == nil {
			return m, g.Previous, nil
		}
	}
	return minted{}, "", err
}

// ambiguous reports whether the server may have acted although no answer came.
func ambiguous(err error) bool {
	var e *AuthError
	return errors.As(err, &e) && e.Temporary() && (e.Status == 0 || e.Status/100 == 2)
}

// keep stores a refresh token. Where that fails the token is kept in memory, an operator is
// told, and storing goes on in the background.
func (s *Source) keep(ctx context.Context, r grantRecord) {
	s.store.mu.Lock()
	s.store.unsaved = &r
	s.store.mu.Unlock()
	err := s.store.flush(context.WithoutCancel(ctx))
	if err == nil {
		return
	}
	s.metrics.saves.Inc()
	s.log.Error().Err(err).Msg("the new refresh token is not stored: if this process ends now, it is lost")
	s.wg.Go(s.keepTrying)
}

// keepTrying runs until the refresh token is stored or the Source is closed, which gets one
// last attempt.
func (s *Source) keepTrying() {
	for closing := false; !closing; {
		select {
		case <-time.After(s.timing.saveRetry):
		case <-s.life.Done():
			closing = true
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.timing.bucketOp)
		err := s.flushLocked(ctx)
		cancel()
		if err == nil {
			s.log.Info().Msg("the new refresh token is stored now")
			return
		}
		s.metrics.saves.Inc()
	}
	s.log.Error().Msg("closed with a refresh token that is not stored: authorize again")
}

func (s *Source) flushLocked(ctx context.Context) error {
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.store.flush(ctx)
}

// grantError makes an *AuthError of what is wrong with the store.
func (s *Source) grantError(err error) *AuthError {
	e := s.asAuthError("reading the grant", err)
	switch {
	case errors.Is(err, errNoGrant), errors.Is(err, errSealed):
		e.class, e.Permanent, e.Hint = ErrReauthorize, true, reauthorizeHint(s.profile)
	case e.Hint == "":
		e.Hint = "check grant_file and its folder"
	}
	return e
}

func (s *Source) grantAge(now time.Time) time.Duration {
	if s.store == nil {
		return 0
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.last.Obtained == 0 {
		return 0
	}
	return now.Sub(time.UnixMilli(s.store.last.Obtained))
}

func (s *Source) grantStatus(st *Status) {
	if s.store == nil {
		return
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.last.Obtained != 0 {
		st.GrantObtained = time.UnixMilli(s.store.last.Obtained).UTC()
	}
	st.GrantGeneration, st.GrantUnsaved = s.store.last.Generation, s.store.unsaved != nil
}
