package history

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"backburn/results"
)

// Query says which events are wanted. The zero value wants the newest.
type Query struct {
	Text     string    // words that must all be in it; upper and lower case are the same
	Outcomes []string  // verdicts and reasons; "failed" for every reason; none: all
	Sources  []string  // none: all
	Since    time.Time // zero: from the first on
	Until    time.Time // zero: to the last
	Before   uint64    // older than this sequence; 0: all
	After    uint64    // newer than this sequence
	Limit    int       // 0: 50
}

const (
	defaultLimit = 50
	maxLimit     = 200
	maxWords     = 8
	maxText      = 1024 // bytes of a query
)

// Found is what was found.
type Found struct {
	Hits    []Hit     `json:"hits"`          // the newest first
	Matches int       `json:"matches"`       // with those that Before and Limit leave out
	Last    uint64    `json:"last"`          // sequence of the newest event of all, found or not
	From    time.Time `json:"from,omitzero"` // events are known from then on
	Older   bool      `json:"older"`         // and the stream had older ones
}

// word is a part of the query.
type word struct {
	text []byte // lower-case
	hash []byte // the whole bytes of the beginning of a SHA-256; nil: it cannot be one
	half int    // one more digit of it; -1: none
}

// hashLike is the beginning of a hash: shorter ones would be in half of all.
var hashLike = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

func words(text string) []word {
	var out []word
	for _, w := range strings.Fields(strings.ToLower(clip(text, maxText))) {
		if len(out) == maxWords {
			break
		}
		one := word{text: []byte(w), half: -1}
		if hashLike.MatchString(w) {
			one.hash, _ = hex.DecodeString(w[:len(w)/2*2])
			if len(w)%2 == 1 {
				one.half = strings.IndexByte("0123456789abcdef", w[len(w)-1])
			}
		}
		out = append(out, one)
	}

	return out
}

// begins reports whether a hash begins with the word.
func (w word) begins(sum *[32]byte) bool {
	if w.hash == nil || !bytes.HasPrefix(sum[:], w.hash) {
		return false
	}

	return w.half < 0 || int(sum[len(w.hash)]>>4) == w.half
}

// Search looks through every event.
func (b *Book) Search(q Query) Found {
	b.mu.RLock()
	defer b.mu.RUnlock()
	limit := min(q.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
	found := Found{Hits: []Hit{}, Last: b.last, From: b.from(), Older: b.older || b.dropped > 0}
	m := b.matcher(q)

	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0; i-- {
			r := &c.entries[i]
			if r.seq <= q.After {
				return found
			}
			if !m.match(c, r) {
				continue
			}
			found.Matches++
			if len(found.Hits) < limit && (q.Before == 0 || r.seq < q.Before) {
				found.Hits = append(found.Hits, b.hit(c, r))
			}
		}
	}

	return found
}

// matcher is a query made ready.
type matcher struct {
	words        []word
	outcomes     []bool // by number; nil: all
	sources      []bool
	failed       bool  // every failure
	since, until int64 // ms since 1970; until 0: no end
	lower        []byte
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

// numbers marks the numbers of names.
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

func (m *matcher) match(c *chunk, r *entry) bool {
	switch {
	case r.at < m.since, m.until != 0 && r.at >= m.until:
		return false
	case m.sources != nil && !m.sources[r.source]:
		return false
	case m.outcomes != nil && !m.outcomes[r.outcome] && !(m.failed && r.kind == results.Failed):
		return false
	case len(m.words) == 0:
		return true
	}

	text := c.text[r.start : int(r.start)+int(r.ends[fields-1])]
	if r.upper {
		m.lower = appendLower(m.lower[:0], text)
		text = m.lower
	}
	for _, w := range m.words {
		if !(r.hashed && w.begins(&r.sha256)) && !bytes.Contains(text, w.text) {
			return false
		}
	}

	return true
}

// appendLower appends a text in lower case.
func appendLower(to, text []byte) []byte {
	from := len(to)
	to = append(to, text...)
	for i, c := range to[from:] {
		switch {
		case c >= 0x80:
			return append(to[:from], bytes.ToLower(text)...)
		case 'A' <= c && c <= 'Z':
			to[from+i] = c + 'a' - 'A'
		}
	}

	return to
}

// jobEvents is how many events of one job are listed: a verdict may change again and again.
const jobEvents = 20

// Job returns the events of one job, the newest first.
func (b *Book) Job(source, id string) []Hit {
	b.mu.RLock()
	defer b.mu.RUnlock()
	want := clip(source+"/"+id, maxField)
	hits := []Hit{}
	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0 && len(hits) < jobEvents; i-- {
			if r := &c.entries[i]; int(r.ends[fieldJob]) == len(want) && string(c.text[r.start:int(r.start)+len(want)]) == want {
				hits = append(hits, b.hit(c, r))
			}
		}
	}

	return hits
}

// Same returns other jobs with the same contents as a job, the newest first, each with its newest
// event, and how many there are; at most limit are returned.
func (b *Book) Same(sha256 [32]byte, source, id string, limit int) (hits []Hit, jobs int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	hits = []Hit{}
	seen := map[string]bool{clip(source+"/"+id, maxField): true}

	for _, c := range slices.Backward(b.chunks) {
		for i := len(c.entries) - 1; i >= 0; i-- {
			r := &c.entries[i]
			if !r.hashed || r.sha256 != sha256 {
				continue
			}
			job := string(c.text[r.start : int(r.start)+int(r.ends[fieldJob])])
			if seen[job] {
				continue
			}
			seen[job] = true
			jobs++
			if len(hits) < limit {
				hits = append(hits, b.hit(c, r))
			}
		}
	}

	return hits, jobs
}
