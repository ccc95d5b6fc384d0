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

// SearchResult is the result of a search.
type SearchResult struct {
	Hits    []Hit     `json:"hits"`          // the newest first
	Matches int       `json:"matches"`       // including those beyond Before and Limit
	Last    uint64    `json:"last"`          // sequence of the newest event, found or not
	From    time.Time `json:"from,omitzero"` // time of the oldest event that was searched
	Older   bool      `json:"older"`         // the stream had older events
}

// Search searches all events.
func (b *Summary) Search(q Query) SearchResult {
	b.mu.RLock()
	defer b.mu.RUnlock()
	limit := min(q.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
	found := SearchResult{Hits: []Hit{}, Last: b.last, From: b.oldestTime(), Older: b.hasOlder || b.dropped > 0}
	m := b.matcher(q)

	all := m.matchesAll()
	for _, c := range slices.Backward(b.chunks) {
		if newest := c.entries[len(c.entries)-1].seq; newest <= q.After || all && len(found.Hits) == limit && q.After == 0 {
			break
		}
		matching := m.matches(c)
		for i := matching.lastBelow(len(c.entries)); i >= 0; i = matching.lastBelow(i) {
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

func (b *Summary) matcher(q Query) *matcher {
	m := &matcher{words: parseWords(q.Text), failed: slices.Contains(q.Outcomes, "failed")}
	m.outcomes = b.nameSet(q.Outcomes)
	m.sources = b.nameSet(q.Sources)
	if !q.Since.IsZero() {
		m.since = q.Since.UnixMilli()
	}
	if !q.Until.IsZero() {
		m.until = q.Until.UnixMilli()
	}

	return m
}

// nameSet returns the set of the names' numbers.
func (b *Summary) nameSet(list []string) []bool {
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

// matchesAll reports whether the query matches all events.
func (m *matcher) matchesAll() bool {
	return len(m.words) == 0 && m.outcomes == nil && m.sources == nil && m.since == 0 && m.until == 0
}

// matches marks the matching entries of a chunk.
func (m *matcher) matches(c *chunk) *entrySet {
	matching := &entrySet{}
	for i := range c.entries {
		if m.matchesEntry(&c.entries[i]) {
			matching.set(i)
		}
	}
	for _, w := range m.words {
		c.filter(w, matching)
	}

	return matching
}

// matchesEntry reports whether an event matches the query, apart from its words.
func (m *matcher) matchesEntry(r *entry) bool {
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

// maxJobEvents limits the listed events of one job, because a verdict may change many times.
const maxJobEvents = 20

// Job returns the newest events of one job, the newest first.
func (b *Summary) Job(source, id string) []Hit {
	b.mu.RLock()
	defer b.mu.RUnlock()
	want := pipeline.Cut(source+"/"+id, maxField)
	lower := []byte(lowerASCII(want))
	hits := []Hit{}
	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0 && len(hits) < maxJobEvents; i-- {
			if c.isJob(i, want, lower) {
				hits = append(hits, b.hit(c, i))
			}
		}
	}

	return hits
}

// SameContents returns other jobs with the same contents as a job, the newest first, each with its
// newest event, and their total number. It returns at most limit jobs.
func (b *Summary) SameContents(sha256 [32]byte, source, id string, limit int) (hits []Hit, jobs int) {
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
