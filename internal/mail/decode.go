package mail

import (
	"bufio"
	"io"
	"strings"
)

// decoded undoes a Content-Transfer-Encoding. An unknown one leaves the contents as they are.
func decoded(encoding string, r io.Reader) io.Reader {
	encoding, _, _ = strings.Cut(strings.ToLower(encoding), ";")
	switch strings.TrimSpace(encoding) {
	case "base64":
		return &decoder{in: bufio.NewReader(r), step: (&base64Group{}).next}
	case "quoted-printable":
		return &decoder{in: bufio.NewReader(r), step: nextQuoted}
	}

	return r
}

// decoder reads what step makes of its input, one step after the other. A step appends no more than
// three bytes, and ends with the error of its input.
type decoder struct {
	in   *bufio.Reader
	step func(in *bufio.Reader, out []byte) ([]byte, error)
	buf  [4 << 10]byte
	out  []byte // of buf, not read yet
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

// base64Group decodes as mail clients do: what is not of the alphabet is passed over, padding ends
// a group and not the contents, and a group that is cut short gives what there is.
type base64Group struct {
	bits uint32
	have int // characters of the group
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

// end appends what the characters of a group mean, and begins a new one.
func (g *base64Group) end(out []byte) []byte {
	bits := g.bits << (6 * (4 - g.have))
	for i := range max(g.have-1, 0) {
		out = append(out, byte(bits>>(16-8*i)))
	}
	*g = base64Group{}

	return out
}

// nextQuoted decodes quoted-printable (RFC 2045, 6.7). What is no escape stays as it is.
func nextQuoted(in *bufio.Reader, out []byte) ([]byte, error) {
	c, err := in.ReadByte()
	switch {
	case err != nil:
		return out, err
	case c != '=':
		return append(out, c), nil
	}

	two, _ := in.Peek(2) // fewer at the end
	if len(two) == 2 && hexValue(two[0]) >= 0 && hexValue(two[1]) >= 0 {
		out = append(out, byte(hexValue(two[0])<<4|hexValue(two[1])))
		_, err = in.Discard(2)
		return out, err
	}
	if n, ok := softBreak(in); ok {
		_, err = in.Discard(n)
		return out, err
	}

	return append(out, c), nil
}

// maxTrailing is how many blanks may stand between the = of a line that goes on and its end.
const maxTrailing = 1000

// softBreak reports whether the line ends here, and how many bytes that takes.
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

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}

	return -1
}
