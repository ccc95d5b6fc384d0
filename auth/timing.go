package auth

import (
	"time"
)

// timing has all durations of a Source. They are variables so that tests can shorten them.
type timing struct {
	renewal     time.Duration // one renewal, including the wait for another process
	freshFor    time.Duration // a token refused this soon after it was issued was never valid
	inARow      time.Duration // a second refusal within this, with no success between, is like an early one
	renewGap    time.Duration // between renewals of refused tokens that worked, after the first renewBurst
	breakerMin  time.Duration // first cool-down after a fresh token was refused; doubles
	permanent   time.Duration // first cool-down after a permanent error; doubles
	coolMax     time.Duration // cap of both
	backoffMin  time.Duration // first pause after a temporary error; doubles
	backoffMax  time.Duration
	claimTTL    time.Duration // a claim on the record that is unchanged for this long is abandoned
	bucketOp    time.Duration // timeout of one bucket call
	poll        time.Duration // between reads of a record that another process has claimed
	awayPause   time.Duration // between own token requests while the bucket is unreachable
	awayJitter  time.Duration // random delay of own requests, because all processes lose the bucket at the same time
	foreignTrim time.Duration // taken off the life of a token whose start was measured with a wall clock
	watchRetry  time.Duration // between attempts to watch the bucket
	saveRetry   time.Duration // between attempts to persist a rolled refresh token
	credential  time.Duration // between checks for a new secret or grant after a refusal
}

// renewBurst is how many refused tokens that worked are renewed without a gap.
const renewBurst = 3

func defaultTiming() timing {
	return timing{
		renewal:     2 * time.Minute,
		freshFor:    time.Minute,
		inARow:      5 * time.Minute,
		renewGap:    5 * time.Second,
		breakerMin:  30 * time.Second,
		permanent:   time.Minute,
		coolMax:     10 * time.Minute,
		backoffMin:  500 * time.Millisecond,
		backoffMax:  30 * time.Second,
		claimTTL:    45 * time.Second,
		bucketOp:    5 * time.Second,
		poll:        time.Second,
		awayPause:   30 * time.Second,
		awayJitter:  5 * time.Second,
		foreignTrim: time.Minute,
		watchRetry:  5 * time.Second,
		saveRetry:   5 * time.Second,
		credential:  time.Second,
	}
}
