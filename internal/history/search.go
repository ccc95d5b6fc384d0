package history

import (
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/results"
)

// Query selects events. The zero value selects the newest.
type Query struct {
	Text     string    // words that the event must contain, regardless of case
	Outcomes []string  // verdicts and reasons; "failed": every reason; empty: all
	Sources  []string  // empty: all
	Since    time.Time // zero: from the first event
	Until    time.Time // zero: to the last event
	Before   uint64    // older than this sequence; 0: all
	After    uint64    // newer than this sequence
	Limit    int       // 0: 50
}

const (
	defaultLimit = 50
	maxLimit     = 200
)

// Found is the result of a search.
type Found struct {
	Hits    []Hit     `json:"hits"`          // the newest first
	Matches int       `json:"matches"`       // including those beyond Before and Limit
	Last    uint64    `json:"last"`          // sequence of the newest event, found or not
	From    time.Time `json:"from,omitzero"` // time of the oldest event that was searched
	Older   bool      `json:"older"`         // the stream had older events
}

// Search searches all events.
func (b *Book) Search(q Query) Found {
	b.mu.RLock()
	defer b.mu.RUnlock()
	limit := min(q.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
	found := Found{Hits: []Hit{}, Last: b.last, From: b.from(), Older: b.older || b.dropped > 0}
	m := b.matcher(q)

	all := m.everything()
	for _, c := range slices.Backward(b.chunks) {
		if newest := c.entries[len(c.entries)-1].seq; newest <= q.After || all && len(found.Hits) == limit && q.After == 0 {
			break
		}
		has := m.look(c)
		for i := has.last(len(c.entries)); i >= 0; i = has.last(i) {
			r := &c.entries[i]
			if r.seq <= q.After {
				return found
			}
			found.Matches++
			if len(found.Hits) < limit && (q.Before == 0 || r.seq < q.Before) {
				found.Hits = append(found.Hits, b.hit(c, i))
			}
		}
	}
	if all && q.After == 0 {
		found.Matches = b.events
	}

	return found
}

// matcher is a prepared query.
type matcher struct {
	words        []word
	outcomes     []bool // by number; nil: all
	sources      []bool
	failed       bool  // match every failure
	since, until int64 // ms since 1970; until 0: no end
}

func (b *Book) matcher(q Query) *matcher {
	m := &matcher{words: words(q.Text), failed: slices.Contains(q.Outcomes, "failed")}
	m.outcomes = b.numbers(q.Outcomes)
	m.sources = b.numbers(q.Sources)
	if !q.Since.IsZero() {
		m.since = q.Since.UnixMilli()
	}
	if !q.Until.IsZero() {
		m.until = q.Until.UnixMilli()
	}

	return m
}

// numbers returns the set of the names' numbers.
func (b *Book) numbers(list []string) []bool {
	if len(list) == 0 {
		return nil
	}
	out := make([]bool, len(b.names.list))
	for _, s := range list {
		if i, ok := b.names.index[s]; ok {
			out[i] = true
		}
	}

	return out
}

// everything reports whether the query matches all events.
func (m *matcher) everything() bool {
	return len(m.words) == 0 && m.outcomes == nil && m.sources == nil && m.since == 0 && m.until == 0
}

// look marks the matching entries of a chunk.
func (m *matcher) look(c *chunk) *marks {
	has := &marks{}
	for i := range c.entries {
		if m.fits(&c.entries[i]) {
			has.set(i)
		}
	}
	for _, w := range m.words {
		c.narrow(w, has)
	}

	return has
}

// fits reports whether an event matches the query, apart from its words.
func (m *matcher) fits(r *entry) bool {
	switch {
	case r.at < m.since, m.until != 0 && r.at >= m.until:
		return false
	case m.sources != nil && !m.sources[r.source]:
		return false
	case m.outcomes != nil && !m.outcomes[r.outcome] && !(m.failed && r.kind == results.Failed):
		return false
	}

	return true
}

// jobEvents limits the listed events of one job, because a verdict may change many times.
const jobEvents = 20

// Job returns the events of one job, the newest first.
func (b *Book) Job(source, id string) []Hit {
	b.mu.RLock()
	defer b.mu.RUnlock()
	want := pipeline.Cut(source+"/"+id, maxField)
	lower := []byte(lowerASCII(want))
	hits := []Hit{}
	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0 && len(hits) < jobEvents; i-- {
			if c.is(i, want, lower) {
				hits = append(hits, b.hit(c, i))
			}
		}
	}

	return hits
}

// Same returns other jobs with the same contents as a job, the newest first, each with its newest
// event, and their total number. It returns at most limit jobs.
func (b *Book) Same(sha256 [32]byte, source, id string, limit int) (hits []Hit, jobs int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	hits = []Hit{}
	seen := map[string]bool{pipeline.Cut(source+"/"+id, maxField): true}

	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0; i-- {
			r := &c.entries[i]
			if !r.hashed || r.sha256 != sha256 {
				continue
			}
			job := c.field(i, fieldJob)
			if seen[job] {
				continue
			}
			seen[job] = true
			jobs++
			if len(hits) < limit {
				hits = append(hits, b.hit(c, i))
			}
		}
	}

	return hits, jobs
}
