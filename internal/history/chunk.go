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
	fields
)

// entry is an event without its texts.
type entry struct {
	seq      uint64
	at       int64 // ms since 1970
	size     int64 // in bytes
	sha256   [32]byte
	took     float32 // in s from arrival to decision; 0: unknown
	ends     [fields]uint16
	outcome  uint16
	source   uint16
	filetype uint16
	basis    uint16
	kind     results.Type
	hashed   bool // sha256 is known
	foreign  bool // the texts contain upper-case letters outside ASCII
}

// chunkEvents is how many events are dropped together.
const chunkEvents = 4096

// chunk is a group of events that are dropped together. Their texts are concatenated, each followed
// by a zero byte, so that one search covers all of them. ASCII letters are stored in lower case,
// with a bit for each letter that was upper-case.
type chunk struct {
	entries  []entry
	starts   []uint32 // start of each entry's texts
	sums     []uint32 // first bytes of each entry's SHA-256
	text     []byte
	capitals []byte // bit i%8 of byte i/8: text[i] was an upper-case letter
	foreign  []int  // entries whose texts contain upper-case letters outside ASCII
}

// add appends an entry with its texts.
func (c *chunk) add(r entry, texts [fields]string) {
	start := len(c.text)
	for i, s := range texts {
		for j := range len(s) {
			b := s[j]
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
				c.capital(len(c.text))
			}
			c.text = append(c.text, b)
		}
		r.ends[i] = uint16(len(c.text) - start)
		c.text = append(c.text, 0) // so that no match spans two texts
		r.foreign = r.foreign || !ascii(s) && strings.ToLower(s) != lowerASCII(s)
	}
	if r.foreign {
		c.foreign = append(c.foreign, len(c.entries))
	}
	c.entries = append(c.entries, r)
	c.sums = append(c.sums, binary.BigEndian.Uint32(r.sha256[:]))
	c.starts = append(c.starts, uint32(start))
}

func ascii(s string) bool {
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

// capital marks the letter at a position as upper-case.
func (c *chunk) capital(at int) {
	for len(c.capitals) <= at/8 {
		c.capitals = append(c.capitals, 0)
	}
	c.capitals[at/8] |= 1 << (at % 8)
}

// full releases unused capacity; the chunk is complete.
func (c *chunk) full() {
	c.text = slices.Clip(slices.Clone(c.text))
	c.capitals = slices.Clip(slices.Clone(c.capitals))
}

// bytes returns the size of the texts.
func (c *chunk) bytes() int { return len(c.text) + len(c.capitals) }

// place returns the position of a text of entry i.
func (c *chunk) place(i, field int) (from, to int) {
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
	from, to := c.place(i, field)
	text := slices.Clone(c.text[from:to])
	for j := range text {
		if at := from + j; at/8 < len(c.capitals) && c.capitals[at/8]&(1<<(at%8)) != 0 {
			text[j] -= 'a' - 'A'
		}
	}

	return string(text)
}

// is reports whether entry i belongs to a job; lower is the job in lower case.
func (c *chunk) is(i int, job string, lower []byte) bool {
	from, to := c.place(i, fieldJob)

	return bytes.Equal(c.text[from:to], lower) && c.field(i, fieldJob) == job
}

// marks is a set of the entries of a chunk.
type marks [chunkEvents / 64]uint64

func (m *marks) set(i int) { m[i/64] |= 1 << (i % 64) }

func (m *marks) drop(i int) { m[i/64] &^= 1 << (i % 64) }

func (m *marks) and(o *marks) {
	for i := range m {
		m[i] &= o[i]
	}
}

func (m *marks) len() (n int) {
	for _, w := range m {
		n += bits.OnesCount64(w)
	}

	return n
}

// last returns the highest entry below i, or -1.
func (m *marks) last(i int) int {
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
func (c *chunk) find(w word, m *marks) {
	for i := 0; i < len(c.starts); i++ {
		from := int(c.starts[i])
		next := bytes.Index(c.text[from:], w.text)
		if next < 0 {
			break
		}
		i = c.entryAt(i, uint32(from+next))
		m.set(i)
	}

	for _, i := range c.foreign {
		from, _ := c.place(i, 0)
		_, to := c.place(i, fields-1)
		if bytes.Contains(bytes.ToLower(c.text[from:to]), w.text) {
			m.set(i)
		}
	}
	if w.hash == nil {
		return
	}
	for i, sum := range c.sums {
		if sum&w.mask == w.sum && c.begins(i, w) {
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

// begins reports whether the hash of entry i begins with a word.
func (c *chunk) begins(i int, w word) bool {
	r := &c.entries[i]

	return r.hashed && w.begins(&r.sha256)
}

// few is the largest number of entries that are checked one by one instead of searching the chunk.
const few = chunkEvents / 4

// narrow removes the marks of entries that find would not mark.
func (c *chunk) narrow(w word, m *marks) {
	if m.len() > few {
		var one marks
		c.find(w, &one)
		m.and(&one)
		return
	}

	for i := m.last(len(c.entries)); i >= 0; i = m.last(i) {
		from, _ := c.place(i, 0)
		_, to := c.place(i, fields-1)
		text := c.text[from:to]
		if !bytes.Contains(text, w.text) && !c.begins(i, w) && !(c.entries[i].foreign && bytes.Contains(bytes.ToLower(text), w.text)) {
			m.drop(i)
		}
	}
}
