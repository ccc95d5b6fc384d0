package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string `json:"file"`    // as given to Read or Decode, or the flag that set the value; "" for a configuration that came from no file
	Line    int    `json:"line"`    // from 1; 0 where the problem has no place in the file
	Column  int    `json:"column"`  // from 1, in bytes; 0 likewise
	Key     string `json:"key"`     // for example "watch[1].settle"; "" where the text is not TOML
	Message string `json:"message"` // what was expected, and what was found
}

// String gives "file:line:column: key: message" without the parts that are unknown.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" && !strings.HasPrefix(p.File, "--") {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is every problem that was found, in the order of the file. It is an error
// when it is not empty; find it with errors.As.
type Problems []Problem

// Error lists the problems, one on each line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err sorts the problems and gives nil where there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

// quote shortens and quotes text from the file.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}

	return strconv.Quote(s)
}

// redact takes out of a text what may be secret in an address: user and password, and the
// query. It goes by the text alone, so that no spelling gets around it.
func redact(s string) string {
	scheme, rest, isAddress := strings.Cut(s, "://")
	if !isAddress {
		return s
	}

	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "…" + rest[at:]
	}
	if before, _, ok := strings.Cut(rest, "?"); ok {
		rest = before + "?…"
	}

	return scheme + "://" + rest
}
