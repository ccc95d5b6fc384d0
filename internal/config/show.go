package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"

	"backburn/auth"
)

// Show writes the effective configuration as TOML, with every key that applies. A comment after
// each value says where it came from. A variable is shown by its name, not its value; a secret,
// only as a comment that it is set. Parts of URLs that may be secret are left out. Decode can read
// the rest back.
func (c Config) Show(w io.Writer) error {
	out := bufio.NewWriter(w)
	s := &printer{w: out, cfg: c}
	s.table("", "", schema, reflect.ValueOf(c))

	return out.Flush()
}

// printer prints a configuration.
type printer struct {
	w     *bufio.Writer
	cfg   Config
	began bool
}

func (s *printer) printf(format string, args ...any) {
	s.began = true
	fmt.Fprintf(s.w, format, args...)
}

// head writes the heading of a table, after an empty line unless it is the first line.
func (s *printer) head(format, name string) {
	if s.began {
		s.printf("\n")
	}
	s.printf(format+"\n", name)
}

// table writes the keys of a table and then its subtables, as TOML requires. The path has the
// indexes of array elements; the heading, the table's name in TOML, does not.
func (s *printer) table(path, heading string, n *node, v reflect.Value) {
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

func (s *printer) tables(path, heading string, n *node, v reflect.Value) {
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

func (s *printer) key(at string, n *node, v reflect.Value) {
	source := s.cfg.Source(at)
	secret, isSecret := v.Interface().(auth.Secret)
	switch {
	case isSecret && secret.IsSet():
		s.printf("# %s is set, and not shown # %s\n", n.name, source)
	case isSecret:
	case n.leaf.element == nil:
		s.printf("%s = %s # %s\n", n.name, literal(at, v, n.leaf, s.str), source)
	case v.Len() == 0 && v.Kind() == reflect.Slice && defaultLen(at) > 0:
		s.printf("%s = [] # %s\n", n.name, source)
	}
}

// defaultLen returns the default number of tables in an array.
func defaultLen(key string) int {
	v, ok := lookup(schema, reflect.ValueOf(Default()), key)
	if !ok {
		return 0
	}

	return v.Len()
}

// str returns a string in TOML syntax, with the names of variables instead of their values.
func (s *printer) str(at, value string) string {
	if written, ok := s.cfg.origin.written(at, value); ok {
		return tomlString(redact(written))
	}

	return tomlString(escape(redact(value)))
}

// Source says where the value of a key came from: a flag, a line of the file with the variables in
// it, or "default".
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
