package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is a line and a column, both from 1; zero where unknown.
type place struct{ line, column int }

// places has the position of each key, table and array element, by its path: "worker.rate",
// "watch[1].exclude[0]".
type places map[string]place

// at returns the position of path or, if the file does not contain it, of the nearest enclosing
// element.
func (ps places) at(path string) place {
	for path != "" {
		if p, ok := ps[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return place{}
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// quoteKey returns one part of a key in TOML syntax.
func quoteKey(part string) string {
	if bareKey.MatchString(part) {
		return part
	}
	return tomlString(part)
}

func join(path, part string) string {
	if path == "" {
		return quoteKey(part)
	}
	return path + "." + quoteKey(part)
}

// cutKey splits off the first part of a key, including an index.
func cutKey(key string) (part, rest string) {
	quoted := false
	for i, c := range key {
		switch {
		case c == '"' && (i == 0 || key[i-1] != '\\'):
			quoted = !quoted
		case c == '.' && !quoted:
			return key[:i], key[i+1:]
		}
	}

	return key, ""
}

// cutIndex splits the index of an element from a part of a key.
func cutIndex(part string) (name string, index int, ok bool) {
	name, number, _ := strings.Cut(part, "[")
	index, err := strconv.Atoi(strings.TrimSuffix(number, "]"))
	if err != nil {
		return part, 0, false
	}

	return name, index, true
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// locate walks the syntax tree of a valid TOML document. It only finds positions; the values come
// from the library's stable API.
func locate(data []byte) places {
	l := locator{places: places{}, arrays: map[string]int{}}
	for i, b := range data {
		if b == '\n' {
			l.newlines = append(l.newlines, i)
		}
	}

	l.parser.Reset(data)
	table := ""
	for l.parser.NextExpression() {
		switch e := l.parser.Expression(); e.Kind {
		case unstable.Table:
			table, _ = l.key("", e.Key())
		case unstable.ArrayTable:
			name, at := l.key("", e.Key())
			table = element(name, l.arrays[name])
			l.arrays[name]++
			l.places[table] = at
		case unstable.KeyValue:
			l.keyValue(table, e)
		}
	}

	return l.places
}

type locator struct {
	parser   unstable.Parser
	newlines []int // offsets
	places   places
	arrays   map[string]int // elements of each array of tables so far
}

// key resolves a dotted key from path, through the last element of each array of tables, and
// returns the resulting path and the position of its last part.
func (l *locator) key(path string, parts unstable.Iterator) (string, place) {
	var at place
	for parts.Next() {
		if n := l.arrays[path]; n > 0 {
			path = element(path, n-1)
		}

		path = join(path, string(parts.Node().Data))
		at = l.place(parts.Node())
		if _, known := l.places[path]; !known {
			l.places[path] = at
		}
	}

	return path, at
}

func (l *locator) keyValue(table string, n *unstable.Node) {
	path, at := l.key(table, n.Key())
	l.places[path] = at
	l.value(path, n.Value())
}

func (l *locator) value(path string, n *unstable.Node) {
	children := n.Children()
	switch n.Kind {
	case unstable.InlineTable:
		for children.Next() {
			l.keyValue(path, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			child, at := children.Node(), element(path, i)
			if child.Raw.Length > 0 {
				l.places[at] = l.place(child)
			}
			l.value(at, child)
		}
	}
}

func (l *locator) place(n *unstable.Node) place {
	offset := int(n.Raw.Offset)
	line, _ := slices.BinarySearch(l.newlines, offset) // newlines before it
	column := offset + 1
	if line > 0 {
		column = offset - l.newlines[line-1]
	}

	return place{line + 1, column}
}
