package mail

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The encodings that are decoded. Contents in any other one are read as they are.
const (
	base64Encoding  = "base64"
	quotedPrintable = "quoted-printable"
	notEncoded      = ""
)

// encodingsOf returns the encodings that mail clients may see in a part's header. There are several
// if there are several fields, or several words in one.
func encodingsOf(h *header) []string {
	var found []string
	for _, value := range h.all("content-transfer-encoding") {
		value, _, _ = strings.Cut(withoutComments(value), ";")
		for _, word := range strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return strings.ContainsRune(" \t\",'", r) }) {
			if word != base64Encoding && word != quotedPrintable {
				word = notEncoded
			}
			if !slices.Contains(found, word) {
				found = append(found, word)
			}
		}
	}
	if found == nil {
		found = []string{notEncoded}
	}

	return found
}

// decoded returns a reader that decodes one of the encodings.
func decoded(encoding string, r io.Reader) io.Reader {
	switch encoding {
	case base64Encoding:
		return &decoder{in: bufio.NewReader(r), step: (&base64Group{}).next}
	case quotedPrintable:
		return &decoder{in: bufio.NewReader(r), step: nextQuoted}
	}

	return r
}

// decoder reads what step decodes. It calls step repeatedly, each time with the rest of its input.
// A call appends at most three bytes to out, and returns an error when in does, such as io.EOF.
type decoder struct {
	in   *bufio.Reader
	step func(in *bufio.Reader, out []byte) ([]byte, error)
	buf  [4 << 10]byte
	out  []byte // the unread part of buf
	err  error
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(d.out) == 0 {
		d.out = d.buf[:0]
		for d.err == nil && len(d.out) <= len(d.buf)-3 {
			d.out, d.err = d.step(d.in, d.out)
		}
	}
	if len(d.out) == 0 {
		return 0, d.err
	}
	n := copy(p, d.out)
	d.out = d.out[n:]

	return n, nil
}

// base64Group decodes base64 as mail clients do. It ignores characters outside the alphabet.
// Padding ends a group but not the contents, and an incomplete group yields the bytes that it has.
type base64Group struct {
	bits uint32
	have int // number of characters in the group
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

var base64Value = func() (values [256]int8) {
	for i := range values {
		values[i] = -1
	}
	for i, c := range []byte(base64Alphabet) {
		values[c] = int8(i)
	}
	return values
}()

func (g *base64Group) next(in *bufio.Reader, out []byte) ([]byte, error) {
	c, err := in.ReadByte()
	switch {
	case err != nil, c == '=':
		return g.end(out), err
	case base64Value[c] < 0:
		return out, nil
	}

	g.bits = g.bits<<6 | uint32(base64Value[c])
	if g.have++; g.have == 4 {
		return g.end(out), nil
	}

	return out, nil
}

// end appends the decoded bytes of the group, and starts a new one.
func (g *base64Group) end(out []byte) []byte {
	bits := g.bits << (6 * (4 - g.have))
	for i := range max(g.have-1, 0) {
		out = append(out, byte(bits>>(16-8*i)))
	}
	*g = base64Group{}

	return out
}

// nextQuoted decodes quoted-printable (RFC 2045, 6.7). It leaves invalid escapes unchanged.
func nextQuoted(in *bufio.Reader, out []byte) ([]byte, error) {
	c, err := in.ReadByte()
	switch {
	case err != nil:
		return out, err
	case c != '=':
		return append(out, c), nil
	}

	digits, _ := in.Peek(2) // fewer at the end of the input
	if n, err := strconv.ParseUint(string(digits), 16, 8); err == nil && len(digits) == 2 {
		_, err = in.Discard(2)
		return append(out, byte(n)), err
	}
	if n, ok := softBreak(in); ok {
		_, err = in.Discard(n)
		return out, err
	}

	return append(out, c), nil
}

// maxTrailing limits the blanks between the = of a soft line break and the end of the line.
const maxTrailing = 1000

// softBreak reports whether a soft line break follows, and its length in bytes.
func softBreak(in *bufio.Reader) (n int, ok bool) {
	for n = 1; n <= maxTrailing; n++ {
		b, err := in.Peek(n)
		if err != nil {
			return len(b), true // the end of the contents
		}
		switch b[n-1] {
		case '\n':
			return n, true
		case ' ', '\t', '\r':
		default:
			return 0, false
		}
	}

	return 0, false
}
