package poller

import (
	"cmp"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/wildfire"
)

// rechecks is the list of files to ask about again. A file with a harmless verdict is normally
// rechecked once, because WildFire may change the verdict. A file that the policy withholds and
// WildFire did not know is rechecked repeatedly. Links are not rechecked. Rechecks use the room
// that is left in other calls. They get calls of their own only while the budget is plentiful.
type rechecks struct {
	after time.Duration // the time from Sample.CheckedAt to the recheck; 0: no rechecks
	since time.Time     // samples whose CheckedAt is before this time are not rechecked
	queue []recheck     // in the order of recheck.compare; no two entries have the same key and time
}

type recheck struct {
	key string
	due time.Time
}

// compare orders rechecks by the time at which they are due.
func (r recheck) compare(o recheck) int {
	return cmp.Or(r.due.Compare(o.due), cmp.Compare(r.key, o.key))
}

// maxLeaderGap is how long the fleet may be without a leader before rechecks and late verdicts can
// be lost. A new leader adds it to the time that it looks back.
const maxLeaderGap = 10 * time.Minute

// newRechecks returns the empty list of a leader whose term begins now. The field since is early
// enough to include samples that still waited for room in another call.
func newRechecks(after time.Duration, now time.Time) rechecks {
	return rechecks{after: after, since: now.Add(-after - roomWait(after) - maxLeaderGap)}
}

// roomWait returns how long a due entry waits for room in another call. After that, it may have
// a call of its own while the budget is plentiful.
func roomWait(after time.Duration) time.Duration { return after / 24 }

// maxRechecks bounds the list. Further samples are not rechecked.
const maxRechecks = 200_000

// update adds a sample, if its record calls for a recheck. It reports whether the sample is now the
// first in the list.
func (r *rechecks) update(key string, s pipeline.Sample) (first bool) {
	withheld := s.State == pipeline.StateNone && !s.WithheldAt.IsZero()
	harmless := s.State == pipeline.StateVerdict && !wildfire.Verdict(s.Verdict).Malicious()
	if r.after == 0 || s.CheckedAt.Before(r.since) || pipeline.IsLink(key) || !withheld && !harmless || len(r.queue) >= maxRechecks {
		return false
	}

	entry := recheck{key, s.CheckedAt.Add(r.after)}
	i, found := slices.BinarySearchFunc(r.queue, entry, recheck.compare)
	if !found {
		r.queue = slices.Insert(r.queue, i, entry)
	}

	return i == 0
}

// shift moves all times by the given duration, after the clock was set back.
func (r *rechecks) shift(by time.Duration) {
	r.since = r.since.Add(by)
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

// putBack puts the entries of a failed call back into the list.
func (r *rechecks) putBack(taken []recheck) {
	r.queue = slices.Concat(taken, r.queue)
	slices.SortFunc(r.queue, recheck.compare)
	r.queue = slices.CompactFunc(r.queue, func(a, b recheck) bool { return a.compare(b) == 0 })
}

// untilCall returns the time until the first entry may have a call of its own, at most an hour.
func (r *rechecks) untilCall(now time.Time) time.Duration {
	if len(r.queue) == 0 {
		return time.Hour
	}

	return min(r.queue[0].due.Add(roomWait(r.after)).Sub(now), time.Hour)
}
