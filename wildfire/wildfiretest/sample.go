package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

type sampleKey struct{ region, hash string }

// known is a sample or a URL that the service has. The server's mutex guards it.
type known struct {
	sha256, md5, filename, filetype, url string
	size                                 int64
	received                             time.Time
	preset                               bool // judged before anybody submitted it
	plan                                 Plan
	delay                                time.Duration
	head                                 []byte // the whole contents where they are small, nil otherwise
	uploads                              int
	attempts                             int // submissions, refused ones included
	by                                   []Upload
}

// at is the verdict that a sample has at a time.
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

// changedAt is when a sample got the verdict that it has, false where it has none yet.
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
