package history

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"backburn/results"
)

// Indexes of an event's texts, in the order in which a chunk stores them.
const (
	fieldJob = iota // source/job
	fieldName
	fieldPath
	fieldURL
	fieldMD5
	fieldMessageID
	fieldMessage
	fieldCount
)

// entry is an event without its texts.
type entry struct {
	seq                 uint64
	at                  int64 // ms since 1970
	size                int64 // in bytes
	sha256              [32]byte
	took                float32            // in s from arrival to decision; 0: unknown
	ends                [fieldCount]uint16 // end of each text, from the start of the entry's texts
	outcome             uint16
	source              uint16
	filetype            uint16
	basis               uint16
	kind                results.Type
	hashed              bool // sha256 is known
	hasNonASCIICapitals bool // the texts contain upper-case letters outside ASCII
}

// chunkEvents is how many events are dropped together.
const chunkEvents = 4096

// chunk is a group of events that are dropped together. Their texts are concatenated, each followed
// by a zero byte, so that one search covers all of them. ASCII letters are stored in lower case,
// with a bit for each letter that was upper-case.
type chunk struct {
	entries      []entry
	starts       []uint32 // start of each entry's texts
	hashPrefixes []uint32 // first bytes of each entry's SHA-256
	text         []byte
	upperCase    []byte // bit i%8 of byte i/8: text[i] was an upper-case letter
	nonASCII     []int  // entries whose texts contain upper-case letters outside ASCII
}

// add appends an entry with its texts.
func (c *chunk) add(r entry, texts [fieldCount]string) {
	start := len(c.text)
	for i, s := range texts {
		for j := range len(s) {
			b := s[j]
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
				c.markUpperCase(len(c.text))
			}
			c.text = append(c.text, b)
		}
		r.ends[i] = uint16(len(c.text) - start)
		c.text = append(c.text, 0) // so that no match spans two texts
		r.hasNonASCIICapitals = r.hasNonASCIICapitals || !isASCII(s) && strings.ToLower(s) != lowerASCII(s)
	}
	if r.hasNonASCIICapitals {
		c.nonASCII = append(c.nonASCII, len(c.entries))
	}
	c.entries = append(c.entries, r)
	c.hashPrefixes = append(c.hashPrefixes, binary.BigEndian.Uint32(r.sha256[:]))
	c.starts = append(c.starts, uint32(start))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}

	return true
}

// lowerASCII converts only the upper-case letters of ASCII.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}

	return string(b)
}

// markUpperCase marks the letter at a position as upper-case.
func (c *chunk) markUpperCase(at int) {
	for len(c.upperCase) <= at/8 {
		c.upperCase = append(c.upperCase, 0)
	}
	c.upperCase[at/8] |= 1 << (at % 8)
}

// compact releases unused capacity; the chunk is complete.
func (c *chunk) compact() {
	c.text = slices.Clip(slices.Clone(c.text))
	c.upperCase = slices.Clip(slices.Clone(c.upperCase))
}

// bytes returns the size of the texts.
func (c *chunk) bytes() int { return len(c.text) + len(c.upperCase) }

// fieldRange returns the position of a text of entry i.
func (c *chunk) fieldRange(i, field int) (from, to int) {
	r := &c.entries[i]
	start := int(c.starts[i])
	from = start
	if field > 0 {
		from = start + int(r.ends[field-1]) + 1
	}

	return from, start + int(r.ends[field])
}

// field returns a text of entry i in its original case.
func (c *chunk) field(i, field int) string {
	from, to := c.fieldRange(i, field)
	text := slices.Clone(c.text[from:to])
	for j := range text {
		if at := from + j; at/8 < len(c.upperCase) && c.upperCase[at/8]&(1<<(at%8)) != 0 {
			text[j] -= 'a' - 'A'
		}
	}

	return string(text)
}

// isJob reports whether entry i belongs to a job; lower is the job in lower case.
func (c *chunk) isJob(i int, job string, lower []byte) bool {
	from, to := c.fieldRange(i, fieldJob)

	return bytes.Equal(c.text[from:to], lower) && c.field(i, fieldJob) == job
}

// entrySet is a set of the entries of a chunk.
type entrySet [chunkEvents / 64]uint64

func (m *entrySet) set(i int) { m[i/64] |= 1 << (i % 64) }

func (m *entrySet) remove(i int) { m[i/64] &^= 1 << (i % 64) }

func (m *entrySet) intersect(o *entrySet) {
	for i := range m {
		m[i] &= o[i]
	}
}

func (m *entrySet) len() (n int) {
	for _, w := range m {
		n += bits.OnesCount64(w)
	}

	return n
}

// lastBelow returns the highest entry below i, or -1.
func (m *entrySet) lastBelow(i int) int {
	for w := (i - 1) / 64; i > 0 && w >= 0; w-- {
		word := m[w]
		if left := i - w*64; left < 64 {
			word &= 1<<left - 1
		}
		if word != 0 {
			return w*64 + bits.Len64(word) - 1
		}
	}

	return -1
}

// find marks the entries whose texts contain a word, or whose hash begins with it.
func (c *chunk) find(w word, m *entrySet) {
	for i := 0; i < len(c.starts); i++ {
		from := int(c.starts[i])
		next := bytes.Index(c.text[from:], w.text)
		if next < 0 {
			break
		}
		i = c.entryAt(i, uint32(from+next))
		m.set(i)
	}

	for _, i := range c.nonASCII {
		from, _ := c.fieldRange(i, 0)
		_, to := c.fieldRange(i, fieldCount-1)
		if bytes.Contains(bytes.ToLower(c.text[from:to]), w.text) {
			m.set(i)
		}
	}
	if w.hash == nil {
		return
	}
	for i, sum := range c.hashPrefixes {
		if sum&w.mask == w.sum && c.hashMatches(i, w) {
			m.set(i)
		}
	}
}

// entryAt returns the entry whose texts include a position; it starts the search at i.
func (c *chunk) entryAt(i int, place uint32) int {
	if i+1 == len(c.starts) || place < c.starts[i+1] {
		return i
	}
	later, exact := slices.BinarySearch(c.starts[i:], place)
	if !exact {
		later--
	}

	return i + later
}

// hashMatches reports whether the hash of entry i begins with a word.
func (c *chunk) hashMatches(i int, w word) bool {
	r := &c.entries[i]

	return r.hashed && w.isPrefixOf(&r.sha256)
}

// maxSingleChecks is the largest number of entries that are checked one by one instead of searching
// the chunk.
const maxSingleChecks = chunkEvents / 4

// filter removes the marks of entries that find would not mark.
func (c *chunk) filter(w word, m *entrySet) {
	if m.len() > maxSingleChecks {
		var matches entrySet
		c.find(w, &matches)
		m.intersect(&matches)
		return
	}

	for i := m.lastBelow(len(c.entries)); i >= 0; i = m.lastBelow(i) {
		from, _ := c.fieldRange(i, 0)
		_, to := c.fieldRange(i, fieldCount-1)
		text := c.text[from:to]
		if !bytes.Contains(text, w.text) && !c.hashMatches(i, w) && !(c.entries[i].hasNonASCIICapitals && bytes.Contains(bytes.ToLower(text), w.text)) {
			m.remove(i)
		}
	}
}
