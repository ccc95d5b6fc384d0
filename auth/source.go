package auth

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Source returns the tokens of one Profile. It is safe for concurrent use. The caller closes it.
//
// It is a cache of one token, filled by at most one renewal at a time, with a cool-down after
// failures. The minter requests tokens. With a bucket, shared makes one token serve the fleet.
type Source struct {
	*minter

	transport   http.RoundTripper
	shared      *shared       // nil: no bucket, or sharing is off
	hosts       hostSet       // may receive the token
	renewalPace *rate.Limiter // limits renewals of refused tokens that had worked

	current atomic.Pointer[cachedToken]
	waiters atomic.Int64

	// background is the context of all background work, and ends with Close. Renewals use it
	// instead of a caller's context, because a caller that gives up must not cancel the renewal for
	// the others.
	background     context.Context //nolint:containedctx // as above
	stopBackground context.CancelFunc
	wg             sync.WaitGroup

	mu          sync.Mutex // never held across a wait
	closed      bool
	changed     chan struct{} // closed and replaced when WaitReady may have something to return
	renewal     *renewal      // the renewal in progress, or nil
	cool        cooldown      // why no token may be requested now, if so
	watching    bool          // whether watchCredential runs
	refusedAt   time.Time     // when a token was last refused; zero once one was accepted
	lastRefused string        // fingerprint of the token that was last refused
	lastErr     *AuthError    // of the last renewal; nil once one succeeded
	lastErrAt   time.Time
}

// renewal is a renewal in progress. Its results may be read once done is closed.
type renewal struct {
	done  chan struct{}
	token *cachedToken
	err   error
}

// Kind returns the profile's kind.
func (s *Source) Kind() Kind { return s.profile.Kind }

// Name returns the profile's name.
func (s *Source) Name() string { return s.profile.Name }

// install makes tok the current token. mu is held.
func (s *Source) install(tok *cachedToken) {
	s.current.Store(tok)
	s.endCooldown()
}

// markAccepted records that the current token worked. If the loop breaker was opened for this
// token, its cool-down ends: another call with the token has succeeded. mu is held.
func (s *Source) markAccepted(tok *cachedToken) {
	tok.accepted.Store(true)
	s.refusedAt = time.Time{}
	s.cool.breaks = 0

	if s.cool.refused == tok.id {
		s.endCooldown()
	}
}

// endCooldown allows token requests again. mu is held.
func (s *Source) endCooldown() {
	s.cool.end()
	s.lastErr = nil
	s.announce()
}

// recordError records the error that Status shows. mu is held.
func (s *Source) recordError(e *AuthError, now time.Time) {
	s.lastErr = e
	s.lastErrAt = now
}

// announce wakes WaitReady. mu is held.
func (s *Source) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}
