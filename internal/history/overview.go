package history

import (
	"maps"
	"slices"
	"time"
)

// Hour is what happened in one hour.
type Hour struct {
	Start    time.Time      `json:"start"`
	Verdicts map[string]int `json:"verdicts"` // by verdict
	Failed   map[string]int `json:"failed"`   // by reason
	Changed  int            `json:"changed"`  // verdicts that WildFire changed
	Arrived  int            `json:"arrived"`  // jobs that were received then, and were uploaded or are done
}

// Took is how long verdicts took, in seconds from being received; within 5 %.
type Took struct {
	Verdicts int     `json:"verdicts"` // of which it is known
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
}

// Overview is what happened in the last hours.
type Overview struct {
	Hours   []Hour    `json:"hours"` // the oldest first, each of them, up to the one that is under way
	Took    Took      `json:"took"`
	Sources []string  `json:"sources"`        // that have events
	Events  int       `json:"events"`         // that can be searched
	From    time.Time `json:"from,omitzero"`  // of the oldest of them
	Older   bool      `json:"older"`          // the stream had older ones
	Last    uint64    `json:"last,omitempty"` // sequence of the newest event
}

// Overview says what happened until now.
func (b *Book) Overview(now time.Time) Overview {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o := Overview{
		Hours:   make([]Hour, 0, Hours),
		Sources: []string{},
		Events:  b.events,
		From:    b.from(),
		Older:   b.older || b.dropped > 0,
		Last:    b.last,
	}

	var all spread
	end := now.Unix() / 3600
	for i := end - Hours + 1; i <= end; i++ {
		h := b.hours.by[i]
		if h == nil {
			h = newHour()
		}
		all.merge(h.took)
		o.Hours = append(o.Hours, Hour{
			Start:    time.Unix(i*3600, 0).UTC(),
			Verdicts: maps.Clone(h.verdicts),
			Failed:   maps.Clone(h.failed),
			Changed:  h.changed,
			Arrived:  h.arrived,
		})
	}
	o.Took = Took{Verdicts: all.n, P50: all.at(.5), P95: all.at(.95)}
	o.Sources = b.sources()

	return o
}

// from is the time of the oldest event.
func (b *Book) from() time.Time {
	if len(b.chunks) == 0 {
		return time.Time{}
	}

	return time.UnixMilli(b.chunks[0].entries[0].at).UTC()
}

// shownSources is how many sources are listed.
const shownSources = 200

func (b *Book) sources() []string {
	seen := make([]bool, len(b.names.list))
	out := []string{}
	for _, c := range b.chunks {
		for i := range c.entries {
			if s := c.entries[i].source; !seen[s] && len(out) < shownSources {
				seen[s] = true
				out = append(out, b.names.list[s])
			}
		}
	}
	slices.Sort(out)

	return out
}
