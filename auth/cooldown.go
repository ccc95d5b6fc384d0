package auth

import (
	"errors"
	"time"
)

// cooldown remembers why nobody is to be asked for a token, and until when. It is a
// negative cache: callers get the error that is in it.
type cooldown struct {
	until  time.Time
	err    *AuthError
	soft   int // temporary failures in a row
	hard   int // permanent ones in a row
	breaks int // fresh tokens refused in a row

	refused  string // fingerprint of the fresh token that was refused; "" for any other cause
	revision uint64 // of the shared record when it said so too; 0: only this process knows
}

// remaining returns what is left, 0 when it is over.
func (c *cooldown) remaining(now time.Time) time.Duration {
	if c.err == nil {
		return 0
	}
	return max(c.until.Sub(now), 0)
}

// note remembers a failure and for how long it holds. revision is that of the shared record
// which says so; 0: none does.
func (c *cooldown) note(now time.Time, e *AuthError, revision uint64, t timing) {
	n := &c.soft
	if e.Permanent {
		n = &c.hard
	}
	c.until = now.Add(t.pause(e, *n))
	c.err = e
	c.refused = ""
	c.revision = revision
	*n++
}

// pause returns how long a failure holds, the one after n like it. A server's Retry-After
// wins. A missing grant is looked for every minute: somebody may have logged in.
func (t timing) pause(e *AuthError, n int) time.Duration {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case errors.Is(e, ErrReauthorize):
		return t.permanent
	case e.Permanent:
		return doubled(t.permanent, n, t.coolMax)
	default:
		return jittered(doubled(t.backoffMin, n, t.backoffMax))
	}
}

// trip opens the loop breaker: a fresh token, whose fingerprint is id, was refused.
func (c *cooldown) trip(now time.Time, e *AuthError, id string, t timing) {
	d := doubled(t.breakerMin, c.breaks, t.coolMax)
	c.breaks++
	e.RetryAfter = d
	c.until = now.Add(d)
	c.err = e
	c.refused = id
	c.revision = 0
}

// granted forgets failures of the token endpoint. Refusals of fresh tokens stay counted:
// a new token proves nothing about whether the service takes it.
func (c *cooldown) granted() { *c = cooldown{breaks: c.breaks} }
