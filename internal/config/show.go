package config

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"backburn/auth"
)

// Show writes the effective configuration as TOML that Parse reads back, with every key
// that applies. A secret is a comment that says it is set.
func (c Config) Show(w io.Writer) error {
	out := bufio.NewWriter(w)
	s := &shower{w: out}
	s.table("", reflect.ValueOf(c), nil)
	return out.Flush()
}

type shower struct {
	w     *bufio.Writer
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

// table writes the plain keys of a struct and then its tables, as TOML demands. Where
// only is not nil, other keys are left out.
func (s *shower) table(path string, v reflect.Value, only []string) {
	var tables []func()
	for i := range v.NumField() {
		key, field := v.Type().Field(i).Tag.Get("toml"), v.Field(i)
		if key == "" || only != nil && !slices.Contains(only, key) {
			continue
		}
		at := join(path, key)
		switch value := field.Interface().(type) {
		case auth.Secret:
			if value.IsSet() {
				s.printf("# %s is set, and not shown\n", key)
			}
		case []Watch:
			if len(value) == 0 {
				s.printf("%s = []\n", key)
			}
			for _, w := range value {
				tables = append(tables, func() {
					s.head("[[%s]]", at)
					s.table(at, reflect.ValueOf(w), nil)
				})
			}
		case []Sink:
			for _, one := range value {
				tables = append(tables, func() {
					s.head("[[%s]]", at)
					s.table(at, reflect.ValueOf(one), nil)
				})
			}
		case map[string]Auth:
			for _, name := range slices.Sorted(maps.Keys(value)) {
				tables = append(tables, func() {
					s.head("[%s]", join(at, name))
					s.table(join(at, name), reflect.ValueOf(value[name]), append([]string{"kind"}, value[name].Kind.Keys()...))
				})
			}
		default:
			if field.Kind() == reflect.Struct {
				tables = append(tables, func() {
					s.head("[%s]", at)
					s.table(at, field, nil)
				})
				continue
			}
			s.printf("%s = %s\n", key, literal(field))
		}
	}
	for _, write := range tables {
		write()
	}
}

// literal writes a value that is no table.
func literal(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case fmt.Stringer: // Duration and Size
		return str(value.String())
	case []string:
		items := make([]string, len(value))
		for i, item := range value {
			items[i] = str(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]string:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			items = append(items, quoteKey(key)+" = "+str(value[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	switch v.Kind() {
	case reflect.String:
		return str(v.String())
	case reflect.Float64:
		s := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	return fmt.Sprint(v.Interface())
}

// str writes a TOML string that expand turns into s.
func str(s string) string {
	b, err := toml.Marshal(map[string]string{"s": escape(s)})
	if err != nil {
		return strconv.Quote(escape(s)) // not reached: every string can be marshalled
	}
	_, text, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), " = ")
	return text
}
