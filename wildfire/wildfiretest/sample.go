package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

type sampleKey struct{ region, hash string }

// storedSample is a sample or a URL that the service knows. The server's mutex guards it.
type storedSample struct {
	sha256, md5, filename, filetype, url string
	size                                 int64
	received                             time.Time
	preset                               bool // the verdict needs no analysis: built in, or from Know or SetVerdict
	plan                                 Plan
	delay                                time.Duration // from received to the verdict
	contents                             []byte        // nil if they are not small
	uploads                              int           // counted submissions
	attempts                             int           // submissions for which the plan has a fault, see countAttempt
	accepted                             []Upload      // the first counted submissions
}

// verdictAt returns the verdict of a sample at a time.
func (s *storedSample) verdictAt(now time.Time, unknownFor time.Duration) wildfire.Verdict {
	age := now.Sub(s.received)
	switch {
	case s.plan.Lost:
		return wildfire.Unknown
	case s.preset:
		return s.plan.Verdict
	case !s.plan.Never && age >= s.delay:
		if s.plan.Flips && age >= s.delay+s.plan.FlipAfter {
			return s.plan.FlipTo
		}
		return s.plan.Verdict
	case age < min(unknownFor, s.delay):
		return wildfire.Unknown
	case s.plan.Never && age < unknownFor:
		return wildfire.Unknown
	}

	return wildfire.Pending
}

// changedAt returns when a sample got its current verdict, or false if it has none yet.
func (s *storedSample) changedAt(now time.Time) (time.Time, bool) {
	switch {
	case s.preset:
		return s.received, true
	case s.plan.Never, s.plan.Lost, now.Before(s.received.Add(s.delay)):
		return time.Time{}, false
	}

	decided := s.received.Add(s.delay)
	if flip := decided.Add(s.plan.FlipAfter); s.plan.Flips && !now.Before(flip) {
		return flip, true
	}

	return decided, true
}
