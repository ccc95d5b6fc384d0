package history

import (
	"maps"
	"slices"
	"time"
)

// Hour has the counts of one hour.
type Hour struct {
	Start    time.Time      `json:"start"`
	Verdicts map[string]int `json:"verdicts"` // by verdict
	Failed   map[string]int `json:"failed"`   // by reason
	Changed  int            `json:"changed"`  // verdicts that WildFire changed
	Arrived  int            `json:"arrived"`  // jobs that were received in this hour, and were uploaded or are done
}

// Took is how long verdicts took, in seconds since the arrival, accurate to 5 %.
type Took struct {
	Verdicts int     `json:"verdicts"` // number of verdicts with a known duration
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
}

// Overview summarizes the last hours.
type Overview struct {
	Hours   []Hour    `json:"hours"` // every hour up to the current one, the oldest first
	Took    Took      `json:"took"`
	Sources []string  `json:"sources"`        // sources with events
	Events  int       `json:"events"`         // searchable events
	From    time.Time `json:"from,omitzero"`  // time of the oldest of them
	Older   bool      `json:"older"`          // the stream had older ones
	Last    uint64    `json:"last,omitempty"` // sequence of the newest event
}

// Overview returns the summary up to now.
func (b *Summary) Overview(now time.Time) Overview {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o := Overview{
		Hours:   make([]Hour, 0, Hours),
		Sources: b.sources(),
		Events:  b.events,
		From:    b.oldestTime(),
		Older:   b.hasOlder || b.dropped > 0,
		Last:    b.last,
	}

	var all durationHistogram
	end := now.Unix() / 3600
	for i := end - Hours + 1; i <= end; i++ {
		h := b.hours.byNumber[i]
		if h == nil {
			h = newHour()
		}
		all.merge(h.durations)
		o.Hours = append(o.Hours, Hour{
			Start:    time.Unix(i*3600, 0).UTC(),
			Verdicts: maps.Clone(h.verdicts),
			Failed:   maps.Clone(h.failed),
			Changed:  h.changed,
			Arrived:  h.arrived,
		})
	}
	o.Took = Took{Verdicts: all.n, P50: all.percentile(.5), P95: all.percentile(.95)}

	return o
}

// oldestTime returns the time of the oldest event.
func (b *Summary) oldestTime() time.Time {
	if len(b.chunks) == 0 {
		return time.Time{}
	}

	return time.UnixMilli(b.chunks[0].entries[0].at).UTC()
}

// maxSources is how many sources are listed.
const maxSources = 200

func (b *Summary) sources() []string {
	seen := make([]bool, len(b.names.list))
	out := []string{}
	for _, c := range b.chunks {
		for i := range c.entries {
			if s := c.entries[i].source; !seen[s] && len(out) < maxSources {
				seen[s] = true
				out = append(out, b.names.list[s])
			}
		}
	}
	slices.Sort(out)

	return out
}
