package history

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"backburn/pipeline"
)

const (
	maxWords = 8
	maxText  = 1024 // bytes of a query
)

// word is one word of the query.
type word struct {
	text       []byte // lower-case
	hash       []byte // the complete bytes of a hash prefix; nil: not a hash
	extraDigit int    // one more hexadecimal digit; -1: none

	sum, mask uint32 // the known bits of the hash's first four bytes
}

// hashPrefixPattern matches the beginning of a hash. Shorter words would match too many hashes by
// chance.
var hashPrefixPattern = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

func parseWords(text string) []word {
	var out []word
	space := func(r rune) bool { return r == 0 || unicode.IsSpace(r) } // the texts contain no zero bytes
	for _, w := range strings.FieldsFunc(strings.ToLower(pipeline.Cut(text, maxText)), space) {
		if len(out) == maxWords {
			break
		}
		parsed := word{text: []byte(w), extraDigit: -1}
		if hashPrefixPattern.MatchString(w) {
			parsed.hash, _ = hex.DecodeString(w[:len(w)/2*2])
			if len(w)%2 == 1 {
				parsed.extraDigit = strings.IndexByte("0123456789abcdef", w[len(w)-1])
			}
			parsed.sum, parsed.mask = hashPrefixMask(w)
		}
		out = append(out, parsed)
	}
	// Start with the rarest word; the others are searched for only in its matches.
	slices.SortStableFunc(out, func(a, b word) int { return b.rarity() - a.rarity() })

	return out
}

// rarity estimates how rare a word is; higher is rarer.
func (w word) rarity() int {
	n := len(w.text)
	for _, c := range w.text {
		if '0' <= c && c <= '9' {
			n += 2
		}
	}

	return n
}

// hashPrefixMask returns what up to eight digits determine of a hash's first four bytes.
func hashPrefixMask(digits string) (sum, mask uint32) {
	for i := range min(len(digits), 8) {
		n, _ := strconv.ParseUint(digits[i:i+1], 16, 4)
		sum |= uint32(n) << (28 - 4*i)
		mask |= 0xf << (28 - 4*i)
	}

	return sum, mask
}

// isPrefixOf reports whether a hash begins with the word.
func (w word) isPrefixOf(sum *[32]byte) bool {
	if w.hash == nil || !bytes.HasPrefix(sum[:], w.hash) {
		return false
	}

	return w.extraDigit < 0 || int(sum[len(w.hash)]>>4) == w.extraDigit
}
