package mail

import (
	"cmp"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// parameters has the values of each parameter, the one that counts for most mail clients first.
type parameters map[string][]string

func (p parameters) get(name string) string {
	if values := p[name]; len(values) > 0 {
		return values[0]
	}

	return ""
}

// params parses a value such as that of Content-Type: its first word, in lower case, and its
// parameters (RFC 2045, 5.1, and RFC 2231). It accepts what mail clients accept: comments,
// parameters without quotes, with unterminated quotes, and repeated names.
func params(value string) (word string, found parameters) {
	first, rest := cutAtSemicolon(value)
	word = strings.ToLower(strings.TrimSpace(withoutComments(first)))
	pieces := map[string][]piece{}
	found = parameters{}
	for rest != "" {
		var p string
		p, rest = cutAtSemicolon(rest)
		key, text, ok := strings.Cut(p, "=")
		if !ok {
			continue
		}
		key = strings.ToLower(strings.TrimSpace(withoutComments(key)))
		name, index, extended := splitKey(key)
		text = unquote(strings.TrimSpace(text))
		if index < 0 && !extended {
			found[name] = append(found[name], decodeWords(text))
			continue
		}
		pieces[name] = append(pieces[name], piece{max(index, 0), extended, text})
	}

	for name, all := range pieces { // a value in pieces comes before a plain one (RFC 2231, 4.1)
		found[name] = append([]string{join(all)}, found[name]...)
	}

	return word, found
}

// withoutComments removes comments (RFC 5322, 3.2.2), which may be nested.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}

	return b.String()
}

// piece is a section of a parameter's value (RFC 2231, 3).
type piece struct {
	index    int
	extended bool // percent-encoded
	text     string
}

// splitKey splits name*1* into its parts; index is -1 if there is none.
func splitKey(key string) (name string, index int, extended bool) {
	key, extended = strings.CutSuffix(key, "*")
	name, number, ok := strings.Cut(key, "*")
	if !ok {
		return key, -1, extended
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return key, -1, extended
	}

	return name, int(n), extended
}

// join concatenates the pieces of a value. The first one may name a charset.
func join(all []piece) string {
	slices.SortStableFunc(all, func(a, b piece) int { return cmp.Compare(a.index, b.index) })
	charset := ""
	var joined strings.Builder
	for i, p := range all {
		if !p.extended {
			joined.WriteString(p.text)
			continue
		}
		text := p.text
		if i == 0 {
			if parts := strings.SplitN(text, "'", 3); len(parts) == 3 {
				charset, text = parts[0], parts[2]
			}
		}
		joined.WriteString(percentDecode(text))
	}

	return toUTF8(charset, joined.String())
}

func percentDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}

	return b.String()
}

// cutAtSemicolon cuts s at the first semicolon outside quotes.
func cutAtSemicolon(s string) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}

	return s, ""
}

// unquote removes quotes, even if the closing one is missing.
func unquote(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch {
		case inner[i] == '\\' && i+1 < len(inner):
			i++
			b.WriteByte(inner[i])
		case inner[i] == '"':
			return b.String()
		default:
			b.WriteByte(inner[i])
		}
	}

	return b.String()
}

// decodeWords decodes encoded words (RFC 2047). Mail clients use them in parameters although the
// RFC does not allow it.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	text, err := d.DecodeHeader(s)
	if err != nil {
		return s
	}

	return text
}

// toUTF8 converts text to UTF-8. It returns text in an unknown charset unchanged.
func toUTF8(charset, s string) string {
	if charset == "" {
		return s
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return s
	}
	text, err := e.NewDecoder().String(s)
	if err != nil {
		return s
	}

	return text
}
