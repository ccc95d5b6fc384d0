package poller

import (
	"time"

	"backburn/pipeline"
	"backburn/wildfire"
)

// rechecks holds benign verdicts that WildFire may change some time later, and samples that it did
// not know and the policy withholds. They fill free room in calls, and get calls of their own only
// while the budget is plentiful. They are ordered by the time at which they are due.
type rechecks struct {
	after time.Duration // from the verdict to the recheck; 0: never
	since time.Time     // verdicts last checked before this time are not rechecked
	queue []recheck
}

type recheck struct {
	key string
	due time.Time
}

// maxRechecks bounds the list. Verdicts beyond it are not rechecked.
const maxRechecks = 200_000

// update adds a verdict, or a withheld sample, that was just recorded or was read from the ledger.
func (r *rechecks) update(key string, s pipeline.Sample) {
	withheld := s.State == pipeline.StateNone && !s.WithheldAt.IsZero()
	harmless := s.State == pipeline.StateVerdict && !wildfire.Verdict(s.Verdict).Malicious()
	if r.after == 0 || s.CheckedAt.Before(r.since) || pipeline.IsLink(key) || !withheld && !harmless || len(r.queue) >= maxRechecks {
		return
	}

	due := s.CheckedAt.Add(r.after)
	if !r.holds(key, due) {
		r.queue = append(r.queue, recheck{key, due})
	}
}

// holds reports whether the list already has a verdict: a leader adds it when writing it, and then
// reads it back from the ledger.
func (r *rechecks) holds(key string, due time.Time) bool {
	for i := len(r.queue) - 1; i >= 0 && !r.queue[i].due.Before(due); i-- {
		if r.queue[i].key == key {
			return true
		}
	}

	return false
}

// shift moves all times by the given duration, after the clock was set.
func (r *rechecks) shift(by time.Duration) {
	for i := range r.queue {
		r.queue[i].due = r.queue[i].due.Add(by)
	}
}

// take removes and returns up to n due entries.
func (r *rechecks) take(now time.Time, n int) []string {
	var keys []string
	for len(keys) < n && len(r.queue) > 0 && !r.queue[0].due.After(now) {
		keys = append(keys, r.queue[0].key)
		r.queue = r.queue[1:]
	}

	return keys
}

// next returns the time until rechecks may have a call of their own, at most an hour. Once due, an
// entry first waits for free room in another call, for a twenty-fourth of the recheck interval.
func (r *rechecks) next(now time.Time) time.Duration {
	if len(r.queue) == 0 {
		return time.Hour
	}

	return min(r.queue[0].due.Add(r.after/24).Sub(now), time.Hour)
}
