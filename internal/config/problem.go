package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one error in a configuration.
type Problem struct {
	File    string `json:"file"`    // as given to Read or Decode, or the flag that set the value; "" for a configuration without a file
	Line    int    `json:"line"`    // from 1; 0 if the problem has no position in the file
	Column  int    `json:"column"`  // from 1, in bytes; 0 if unknown
	Key     string `json:"key"`     // for example "watch[1].settle"; "" if the file cannot be read or is not TOML
	Message string `json:"message"` // the expected and the actual value
}

// String returns "file:line:column: key: message" without unknown parts.
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

// Problems has all problems in the order of the file. A non-empty value is an error; find it with
// errors.As.
type Problems []Problem

// Error lists the problems, one on each line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err sorts the problems, and returns nil if there are none.
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

// redact removes possible secrets of a URL from a text: user, password and query. It works on plain
// text, so it also covers invalid URLs.
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
