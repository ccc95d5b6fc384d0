package auth

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Source gives out the tokens of one Profile. It is safe for concurrent use. Close it.
//
// It is a cache of one token, filled by at most one renewal at a time, with a cool-down after
// failures. The minter gets tokens; shared, where there is a bucket, makes them one for the
// fleet.
type Source struct {
	*minter

	transport http.RoundTripper
	shared    *shared // nil: no bucket, or sharing is off
	hosts     hostSet
	pace      *rate.Limiter // of renewals of refused tokens that worked

	current atomic.Pointer[held]
	waiters atomic.Int64

	// life ends with Close. Renewals hang on it and not on any caller: who gives up waiting
	// must not take the token away from those who still wait.
	life context.Context //nolint:containedctx // as above
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu          sync.Mutex // never held across a wait
	closed      bool
	changed     chan struct{} // closed and replaced when WaitReady may have something to return
	renewal     *renewal
	cool        cooldown
	watching    bool      // watchCredential runs
	lastReject  time.Time // when a token was last refused
	lastRefused string    // its fingerprint
	lastErr     *AuthError
	lastErrAt   time.Time
}

// renewal is one renewal under way. Its results may be read once done is closed.
type renewal struct {
	done  chan struct{}
	token *held
	err   error
}

// Kind returns the profile's kind.
func (s *Source) Kind() Kind { return s.profile.Kind }

// Name returns the profile's name.
func (s *Source) Name() string { return s.profile.Name }
