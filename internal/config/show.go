package config

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"backburn/auth"
)

// Show writes the configuration as it holds, as TOML, with every key that applies and, as a
// comment, where each value came from. Variables appear by their names and not by their
// values, a secret is a comment that says it is set, and what may be secret in an address is
// left out. But for the last, Decode reads it back.
func (c Config) Show(w io.Writer) error {
	out := bufio.NewWriter(w)
	s := &shower{w: out, cfg: c}
	s.table("", "", schema, reflect.ValueOf(c))

	return out.Flush()
}

type shower struct {
	w     *bufio.Writer
	cfg   Config
	began bool
}

func (s *shower) printf(format string, args ...any) {
	s.began = true
	fmt.Fprintf(s.w, format, args...)
}

// head begins a table, apart from what is before it.
func (s *shower) head(format, name string) {
	if s.began {
		s.printf("\n")
	}
	s.printf(format+"\n", name)
}

// table writes the plain keys of a table and then the tables in it, as TOML demands. The path
// leads to the table, and the heading is what TOML calls it.
func (s *shower) table(path, heading string, n *node, v reflect.Value) {
	for _, c := range n.children {
		if c.leaf != nil && c.applies(v.Type(), n.kindOf(v)) {
			s.key(join(path, c.name), c, v.FieldByIndex(c.leaf.index))
		}
	}

	for _, c := range n.children {
		at, name := join(path, c.name), join(heading, c.name)
		switch {
		case c.leaf == nil:
			s.head("[%s]", name)
			s.table(at, name, c, v)
		case c.leaf.element != nil:
			s.tables(at, name, c, v.FieldByIndex(c.leaf.index))
		}
	}
}

func (s *shower) tables(path, heading string, n *node, v reflect.Value) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			s.head("[[%s]]", heading)
			s.table(element(path, i), heading, n.leaf.element, v.Index(i))
		}

		return
	}

	for _, name := range sortedKeys(v) {
		s.head("[%s]", join(heading, name))
		s.table(join(path, name), join(heading, name), n.leaf.element, v.MapIndex(reflect.ValueOf(name)))
	}
}

// key writes a key with its value.
func (s *shower) key(at string, n *node, v reflect.Value) {
	source := s.cfg.Source(at)
	secret, isSecret := v.Interface().(auth.Secret)
	switch {
	case isSecret && secret.IsSet():
		s.printf("# %s is set, and not shown # %s\n", n.name, source)
	case isSecret:
	case n.leaf.element == nil:
		s.printf("%s = %s # %s\n", n.name, s.literal(at, v, n.leaf), source)
	case v.Len() == 0 && v.Kind() == reflect.Slice && defaultLen(at) > 0:
		s.printf("%s = [] # %s\n", n.name, source)
	}
}

// defaultLen is how many tables there are by default.
func defaultLen(key string) int {
	v, ok := lookup(schema, reflect.ValueOf(Default()), key)
	if !ok {
		return 0
	}

	return v.Len()
}

// literal writes a value with its variables by name.
func (s *shower) literal(at string, v reflect.Value, l *leaf) string {
	switch value := v.Interface().(type) {
	case []string:
		items := make([]string, len(value))
		for i, item := range value {
			items[i] = s.str(element(at, i), item)
		}

		return "[" + strings.Join(items, ", ") + "]"
	case map[string]string:
		items := make([]string, 0, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			items = append(items, quoteKey(key)+" = "+s.str(join(at, key), value[key]))
		}

		return "{" + strings.Join(items, ", ") + "}"
	}

	if v.Kind() == reflect.String {
		return s.str(at, v.String())
	}

	return literal(v, l)
}

func (s *shower) str(at, value string) string {
	if written, ok := s.cfg.origin.written(at, value); ok {
		return tomlString(redact(written))
	}

	return tomlString(escape(redact(value)))
}

// Source says where the value of a key came from: a flag, a place in the file, with the
// variables in it, or "default".
func (c Config) Source(key string) string {
	if flag := c.origin.flags[key]; flag != "" {
		return flag
	}

	at, ok := c.origin.places[key]
	if !ok {
		return "default"
	}

	source := fmt.Sprintf("%s:%d", c.origin.file, at.line)
	for _, name := range variables(c.origin.texts[key].written) {
		source += ", ${" + name + "}"
	}

	return source
}
