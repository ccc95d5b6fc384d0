package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

type sampleKey struct{ region, hash string }

// known is a sample or a URL that the service knows. The server's mutex guards it.
type known struct {
	sha256, md5, filename, filetype, url string
	size                                 int64
	received                             time.Time
	preset                               bool // has a verdict without a submission
	plan                                 Plan
	delay                                time.Duration
	head                                 []byte // the complete contents if they are small, otherwise nil
	uploads                              int
	attempts                             int // submissions, including refused ones
	by                                   []Upload
}

// at returns the verdict of a sample at a time.
func (k *known) at(now time.Time, unknownFor time.Duration) wildfire.Verdict {
	age := now.Sub(k.received)
	switch {
	case k.plan.Lost:
		return wildfire.Unknown
	case k.preset:
		return k.plan.Verdict
	case !k.plan.Never && age >= k.delay:
		if k.plan.Flips && age >= k.delay+k.plan.FlipAfter {
			return k.plan.FlipTo
		}
		return k.plan.Verdict
	case age < min(unknownFor, k.delay):
		return wildfire.Unknown
	case k.plan.Never && age < unknownFor:
		return wildfire.Unknown
	}

	return wildfire.Pending
}

// changedAt returns when a sample got its current verdict, or false if it has none yet.
func (k *known) changedAt(now time.Time) (time.Time, bool) {
	switch {
	case k.preset:
		return k.received, true
	case k.plan.Never, k.plan.Lost, now.Before(k.received.Add(k.delay)):
		return time.Time{}, false
	}

	decided := k.received.Add(k.delay)
	if flip := decided.Add(k.plan.FlipAfter); k.plan.Flips && !now.Before(flip) {
		return flip, true
	}

	return decided, true
}
