package auth

import (
	"context"
	"time"
)

// Token returns a valid token: for KindAPIKey the key, otherwise a bearer token. With a fresh token
// it returns at once and allocates nothing. In the renewal window it returns the old token at once
// and renews it in the background. Otherwise it waits for the renewal that all callers share, until
// ctx ends.
//
// Errors are ctx's own, ErrClosed, or an *AuthError: of class ErrTemporary, ErrCredentialRejected
// or ErrReauthorize. During a cool-down it returns the error at once, without a request; RetryAfter
// is the rest of the cool-down. The cool-down of a refused credential ends early if a secret file
// changes.
func (s *Source) Token(ctx context.Context) (string, error) {
	if tok := s.current.Load(); tok != nil {
		switch tok.phase(time.Now()) {
		case fresh:
			return tok.value, nil
		case stale:
			s.renewEarly(tok)
			return tok.value, nil
		}
	}

	return s.waitForToken(ctx)
}

// TokenFor is Token for a long call, such as a large upload: it waits for a renewal if the current
// token expires within d and half of its life is over. The token that it returns may still expire
// within d, for example because no token lasts that long.
func (s *Source) TokenFor(ctx context.Context, d time.Duration) (string, error) {
	tok := s.current.Load()
	if tok == nil || !tok.endsWithin(d, time.Now()) {
		return s.Token(ctx)
	}

	if r := s.renewEarly(tok); r != nil {
		select {
		case <-r.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}

	return s.Token(ctx)
}

// WaitReady waits while Token would fail at once: until there is a token, or the cool-down is over
// and a token may be requested. It makes no request itself and returns nil, ctx's error or
// ErrClosed. Callers without a token use it between attempts instead of their own back-off.
func (s *Source) WaitReady(ctx context.Context) error {
	for {
		left, changed, err := s.notReadyFor()
		if err != nil || left == 0 {
			return err
		}

		select {
		case <-time.After(left):
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notReadyFor returns how long Token will fail at once; 0 if it would not. The wait ends early when
// changed is closed.
func (s *Source) notReadyFor() (left time.Duration, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	switch {
	case s.closed:
		return 0, nil, ErrClosed
	case s.current.Load().servable(now):
		return 0, nil, nil
	default:
		return s.cool.remaining(now), s.changed, nil
	}
}

// renewEarly starts a renewal of tok in the background, unless one runs or a cool-down
// forbids it. It returns the renewal that runs, or nil.
func (s *Source) renewEarly(tok *cachedToken) *renewal {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed || s.current.Load() != tok {
		return nil
	}
	if s.renewal == nil && s.cool.remaining(time.Now()) == 0 {
		s.startRenewal(reasonEarly)
	}

	return s.renewal
}

// waitForToken waits for a valid token, and starts a renewal if none is in progress.
func (s *Source) waitForToken(ctx context.Context) (string, error) {
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}

		tok, r, err := s.tokenOrRenewal()
		if err != nil {
			if s.credentialReplaced(ctx, err) {
				continue
			}

			return "", err
		}

		if tok == nil {
			if tok, err = s.awaitRenewal(ctx, r); err != nil {
				return "", err
			}
		}

		if !tok.rejected.Load() { // set by another caller
			return tok.value, nil
		}
	}
}

// awaitRenewal waits for a renewal. It returns a new token even if the token has expired during the
// request.
func (s *Source) awaitRenewal(ctx context.Context, r *renewal) (*cachedToken, error) {
	s.waiters.Add(1)
	defer s.waiters.Add(-1)

	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tokenOrRenewal returns a valid token, or the renewal to wait for, or an error.
func (s *Source) tokenOrRenewal() (*cachedToken, *renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return nil, nil, ErrClosed
	}

	tok, now := s.current.Load(), time.Now()
	if tok.servable(now) {
		return tok, nil, nil
	}
	if s.renewal != nil {
		return nil, s.renewal, nil
	}
	if left := s.cool.remaining(now); left > 0 {
		return nil, nil, s.cool.err.After(left)
	}

	s.startRenewal(reasonToRenew(tok, now))

	return nil, s.renewal, nil
}
