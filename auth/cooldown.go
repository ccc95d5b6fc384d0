package auth

import (
	"errors"
	"time"

	"backburn/internal/backoff"
)

// cooldown records why no token may be requested, and until when. It is a negative cache: callers
// get the error that it contains.
type cooldown struct {
	until     time.Time
	err       *AuthError
	temporary int // temporary failures in a row
	permanent int // permanent failures in a row
	breaks    int // fresh tokens refused in a row

	refused  string // fingerprint of the fresh token that was refused; "" for any other cause
	revision uint64 // revision of the shared record with this cool-down; 0: it is local
}

// remaining returns the rest of the cool-down, or 0 if it is over.
func (c *cooldown) remaining(now time.Time) time.Duration {
	if c.err == nil {
		return 0
	}
	return max(c.until.Sub(now), 0)
}

// begin starts a cool-down after a failure. revision is that of the shared record that reports the
// failure, or 0.
func (c *cooldown) begin(now time.Time, e *AuthError, revision uint64, t timing) {
	failures := &c.temporary
	if e.Permanent {
		failures = &c.permanent
	}
	c.until = now.Add(t.cooldownLength(e, *failures))
	c.err = e
	c.refused = ""
	c.revision = revision
	*failures++
}

// cooldownLength returns the length of the cool-down after n earlier failures of the same class. A
// Retry-After from the server, which package oauth limits, takes precedence. The cool-down for a
// missing grant does not grow, because somebody may log in at any time.
func (t timing) cooldownLength(e *AuthError, n int) time.Duration {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case errors.Is(e, ErrReauthorize):
		return t.permanentMin
	case e.Permanent:
		return backoff.Doubled(n, t.permanentMin, t.coolMax)
	default:
		return backoff.Delay(n, t.backoffMin, t.backoffMax)
	}
}

// tripBreaker opens the loop breaker: a fresh token, whose fingerprint is id, was refused.
func (c *cooldown) tripBreaker(now time.Time, e *AuthError, id string, t timing) {
	d := backoff.Doubled(c.breaks, t.breakerMin, t.coolMax)
	c.breaks++
	e.RetryAfter = d
	c.until = now.Add(d)
	c.err = e
	c.refused = id
	c.revision = 0
}

// end ends the cool-down and resets the counts of failed token requests. It keeps the count of
// refused fresh tokens, because a new token does not prove that the service accepts it.
func (c *cooldown) end() { *c = cooldown{breaks: c.breaks} }
