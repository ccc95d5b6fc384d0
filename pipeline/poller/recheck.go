package poller

import (
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/wildfire"
)

// rechecks is the list of samples to ask about again: those with a harmless verdict, which WildFire
// may change later, and those that the policy withholds and WildFire did not know. They use the
// room that is left in other calls. They get calls of their own only while the budget is plentiful.
type rechecks struct {
	after time.Duration // the time between WildFire's last answer and the recheck; 0: no rechecks
	since time.Time     // samples that were last asked about before this time are not rechecked
	queue []recheck     // in the order of their updates, which is roughly that of their due times
}

type recheck struct {
	key string
	due time.Time
}

// maxRechecks bounds the list. Further samples are not rechecked.
const maxRechecks = 200_000

// update adds a sample, if its record calls for a recheck.
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

// holds reports whether the list has an entry already. A leader adds a sample when it writes the
// verdict, and finds it again when it reads the ledger.
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
func (r *rechecks) take(now time.Time, n int) []recheck {
	taken := 0
	for taken < min(n, len(r.queue)) && !r.queue[taken].due.After(now) {
		taken++
	}
	due := slices.Clone(r.queue[:taken])
	r.queue = r.queue[taken:]

	return due
}

// putBack returns the entries that take returned, after a failed call.
func (r *rechecks) putBack(taken []recheck) { r.queue = slices.Concat(taken, r.queue) }

// untilCall returns the time until the first entry may have a call of its own, at most an hour.
// For a twenty-fourth of the time rechecks.after, a due entry only waits for room in another call.
// Then it may have a call of its own while the budget is plentiful.
func (r *rechecks) untilCall(now time.Time) time.Duration {
	if len(r.queue) == 0 {
		return time.Hour
	}

	return min(r.queue[0].due.Add(r.after/24).Sub(now), time.Hour)
}
