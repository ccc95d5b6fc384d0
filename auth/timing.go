package auth

import (
	"time"
)

// timing has all durations of a Source. They are variables so that tests can shorten them.
type timing struct {
	renewalTimeout  time.Duration // limits one renewal, including the wait for another process
	freshFor        time.Duration // a token refused this soon after it was issued was never valid
	repeatWindow    time.Duration // a second refusal this soon after the first, with no success between, also counts as never valid
	renewGap        time.Duration // between renewals of refused tokens that worked, after the first renewBurst
	breakerMin      time.Duration // first cool-down after a fresh token was refused; doubles
	permanentMin    time.Duration // first cool-down after a permanent error; doubles
	coolMax         time.Duration // longest cool-down after either
	backoffMin      time.Duration // first cool-down after a temporary error; doubles
	backoffMax      time.Duration // longest cool-down after a temporary error
	claimTTL        time.Duration // a claim on the record that is unchanged for this long is abandoned
	bucketTimeout   time.Duration // limits one bucket call
	claimPoll       time.Duration // between reads of a record that another process has claimed
	alonePause      time.Duration // between this process's own token requests while the bucket is unreachable
	aloneJitter     time.Duration // random delay of these requests, because all processes lose the bucket at the same time
	foreignMargin   time.Duration // how much earlier a token of another process expires here, because the clocks may differ
	watchRetry      time.Duration // between attempts to watch the bucket
	saveRetry       time.Duration // between attempts to persist a rolled refresh token
	credentialCheck time.Duration // between checks for a new secret or grant after a refusal
}

// renewBurst is how many refused tokens that worked are renewed without waiting for renewGap.
const renewBurst = 3

// defaultTiming returns the durations of a Source outside tests.
func defaultTiming() timing {
	return timing{
		renewalTimeout:  2 * time.Minute,
		freshFor:        time.Minute,
		repeatWindow:    5 * time.Minute,
		renewGap:        5 * time.Second,
		breakerMin:      30 * time.Second,
		permanentMin:    time.Minute,
		coolMax:         10 * time.Minute,
		backoffMin:      500 * time.Millisecond,
		backoffMax:      30 * time.Second,
		claimTTL:        45 * time.Second,
		bucketTimeout:   5 * time.Second,
		claimPoll:       time.Second,
		alonePause:      30 * time.Second,
		aloneJitter:     5 * time.Second,
		foreignMargin:   time.Minute,
		watchRetry:      5 * time.Second,
		saveRetry:       5 * time.Second,
		credentialCheck: time.Second,
	}
}
