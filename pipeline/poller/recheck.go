package poller

import (
	"time"

	"backburn/pipeline"
	"backburn/wildfire"
)

// rechecks are verdicts that WildFire may still change its mind about: harmless ones, some time
// after they were given; and samples that it did not know and that the policy keeps here. They ride
// in calls that have room, and are asked about by themselves only while budget is plentiful. In the
// order in which they are due.
type rechecks struct {
	after time.Duration // from the verdict to the second question; 0: never
	since time.Time     // verdicts that were checked before were asked about again
	queue []recheck
}

type recheck struct {
	key string
	due time.Time
}

// maxRechecks bounds what is remembered. Beyond it verdicts are simply not asked about again.
const maxRechecks = 200_000

// update takes up a verdict that was just given, or is read back.
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

// holds reports whether a verdict was taken up before: its leader notes it, and reads it back.
func (r *rechecks) holds(key string, due time.Time) bool {
	for i := len(r.queue) - 1; i >= 0 && !r.queue[i].due.Before(due); i-- {
		if r.queue[i].key == key {
			return true
		}
	}

	return false
}

// shift moves every time by as much as the clock was set.
func (r *rechecks) shift(by time.Duration) {
	for i := range r.queue {
		r.queue[i].due = r.queue[i].due.Add(by)
	}
}

// take returns up to n that are due.
func (r *rechecks) take(now time.Time, n int) []string {
	var keys []string
	for len(keys) < n && len(r.queue) > 0 && !r.queue[0].due.After(now) {
		keys = append(keys, r.queue[0].key)
		r.queue = r.queue[1:]
	}
	return keys
}

// patience is how long a due one waits for a call with room before it is worth one of its own.
func (r *rechecks) patience() time.Duration { return r.after / 24 }

// overdue reports whether they are worth a call of their own.
func (r *rechecks) overdue(now time.Time) bool { return r.next(now) <= 0 }

// next is how long until they are; an hour at most.
func (r *rechecks) next(now time.Time) time.Duration {
	if len(r.queue) == 0 {
		return time.Hour
	}
	return min(r.queue[0].due.Add(r.patience()).Sub(now), time.Hour)
}
