package guard

import "bytes"

// matcher finds any of its texts of at least MinSecret bytes, by Wu and Manber's algorithm ("A
// fast algorithm for multi-pattern searching", 1994): most bytes are never examined, however many
// texts there are. It is immutable.
type matcher struct {
	// shift is how far a window of MinSecret bytes may advance, given its last two bytes. 0 means
	// that a text may begin with the window.
	shift [1 << blockBits]uint8

	texts   map[uint16][]text // by the block of bytes MinSecret-2 and MinSecret-1 of each text
	longest int               // of the texts, in bytes
}

type text struct {
	bytes []byte
	key   string // of the configuration
}

// blockBits is the number of bits to which two bytes are reduced, so that the table fits into the
// processor's cache.
const blockBits = 13

func block(a, b byte) uint16 { return uint16(a) ^ uint16(b)<<(blockBits-8) }

func newMatcher(all []text) *matcher {
	m := &matcher{texts: map[uint16][]text{}}
	for i := range m.shift {
		m.shift[i] = MinSecret - 1
	}

	for _, t := range all {
		for end := 1; end < MinSecret; end++ {
			b := block(t.bytes[end-1], t.bytes[end])
			m.shift[b] = min(m.shift[b], uint8(MinSecret-1-end))
		}

		last := block(t.bytes[MinSecret-2], t.bytes[MinSecret-1])
		m.texts[last] = append(m.texts[last], t)
		m.longest = max(m.longest, len(t.bytes))
	}

	return m
}

// find returns the key of a text that is in b, or "".
func (m *matcher) find(b []byte) string {
	for end := MinSecret - 1; end < len(b); {
		last := block(b[end-1], b[end])
		if skip := m.shift[last]; skip > 0 {
			end += int(skip)
			continue
		}

		for _, t := range m.texts[last] {
			if bytes.HasPrefix(b[end-MinSecret+1:], t.bytes) {
				return t.key
			}
		}

		end++
	}

	return ""
}
