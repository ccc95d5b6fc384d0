package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// maxFile is the longest configuration that is read, in bytes.
const maxFile = 1 << 20

// Read reads the file and decodes it as Decode does. An error has the type Problems and means that
// the file cannot be read or is not TOML.
func Read(path string, env Env) (Config, error) {
	data, err := readRegular(path, maxFile)
	if err != nil {
		return Config{}, Problems{{File: path, Message: "the configuration cannot be read: " + err.Error()}}
	}

	return Decode(data, path, env)
}

// Decode reads the text of a configuration and applies it to the defaults. name is the file's name
// in messages. A nil env means that no variable is set. An error has the type Problems and means
// that the text is not TOML. All other errors are stored: a value that cannot be decoded keeps its
// default, and Validate returns its problem with the others.
func Decode(data []byte, name string, env Env) (Config, error) {
	cfg := Default()
	cfg.origin.file = name
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}

	// The library's generic decoder checks TOML's syntax, including duplicate keys, and stops at
	// the first error. We decode the values ourselves, because the library's typed decoder would
	// stop at the first wrong type.
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return cfg, Problems{{File: name, Line: 1, Column: 1, Message: "expected UTF-8, and this is UTF-16; save it as UTF-8"}}
	}

	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		return cfg, Problems{syntaxProblem(name, err)}
	}

	cfg.origin.places = locate(data)

	d := newDecoder(cfg, env)
	d.table("", document, schema, reflect.ValueOf(&cfg).Elem())
	cfg.origin.problems = d.problems

	return cfg, nil
}

// byteOrderMark is written by editors on Windows.
const byteOrderMark = "\xef\xbb\xbf"

// Set sets a key from a flag. Validate reports errors in the value, with the flag's name.
func (c *Config) Set(key, value, flag string) {
	o := *c.origin
	o.problems = slices.DeleteFunc(slices.Clone(o.problems), func(p Problem) bool { return p.Key == key })
	o.texts = maps.Clone(o.texts)
	o.flags = maps.Clone(o.flags)
	if o.flags == nil {
		o.flags = map[string]string{}
	}

	o.flags[key] = flag
	c.origin = &o

	n, v := schema, reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(key, ".") {
		n = n.child(part)
	}

	d := newDecoder(*c, nil)
	d.value(key, escape(value), v.FieldByIndex(n.leaf.index), n.leaf)
	o.problems, o.texts = d.problems, d.origin.texts
	*c.origin = o
}

func syntaxProblem(name string, err error) Problem {
	p := Problem{File: name, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		p.Line, p.Column = de.Position()
	}
	return p
}

// decoder fills Config from the generic form of a document. A value with a problem keeps its
// default, but an array or a map of strings keeps its other elements.
type decoder struct {
	*collector
	env Env
}

func newDecoder(cfg Config, env Env) *decoder {
	d := &decoder{collector: cfg.collect(), env: env}
	if d.origin.texts == nil {
		d.origin.texts = map[string]text{}
	}

	return d
}

// describe describes a value of a document.
func (d *decoder) describe(value any) string {
	switch v := value.(type) {
	case string:
		return quote(redact(v))
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalTime, toml.LocalDateTime:
		return fmt.Sprintf("the date or time %v", v)
	}

	return fmt.Sprint(value)
}

// table decodes a TOML table. The fields of its keys are in target.
func (d *decoder) table(path string, table map[string]any, n *node, target reflect.Value) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		child, at := n.child(key), join(path, key)
		switch {
		case child == nil:
			d.add(at, "unknown key%s", suggest(key, n.names()))
		case child.leaf != nil:
			d.value(at, table[key], target.FieldByIndex(child.leaf.index), child.leaf)
		default:
			if inner, ok := typed[map[string]any](d, at, table[key], "a table"); ok {
				d.table(at, inner, child, target)
			}
		}
	}
}

// typed returns a value as the type that it must have. If it has another one, typed adds a problem
// and reports false.
func typed[T any](d *decoder, path string, value any, expected string) (T, bool) {
	v, ok := value.(T)
	if !ok {
		d.add(path, "expected %s, got %s", expected, d.describe(value))
	}

	return v, ok
}

// value decodes one value into a field.
func (d *decoder) value(path string, value any, target reflect.Value, l *leaf) {
	switch t := target.Addr().Interface().(type) {
	case *[]watch.Config:
		tables(d, path, value, t, l, watch.DefaultConfig, (*watch.Config).Complete)
	case *[]pipeline.Rule:
		tables(d, path, value, t, l, pipeline.DefaultRule, func(*pipeline.Rule) {})
	case *[]sink.Config:
		tables(d, path, value, t, l, sink.DefaultConfig, func(*sink.Config) {})
	case *[]api.Token:
		tables(d, path, value, t, l, api.DefaultToken, func(*api.Token) {})
	case *map[string]auth.Profile:
		d.profiles(path, value, *t, l)
	case *auth.Secret:
		d.secret(path, value, t)
	case *map[string]string:
		d.stringMap(path, value, t)
	case *[]string:
		d.stringList(path, value, t)
	case *time.Duration:
		unit(d, path, value, t, ParseDuration)
	case *int64: // with unit:"bytes"
		unit(d, path, value, (*Size)(t), ParseSize)
	default:
		d.plain(path, value, target)
	}
}

// plain decodes a value of a TOML type.
func (d *decoder) plain(path string, value any, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		if s, ok := d.text(path, value, "a string"); ok {
			target.SetString(s)
		}
	case reflect.Bool:
		if v, ok := typed[bool](d, path, value, "true or false"); ok {
			target.SetBool(v)
		}
	case reflect.Int:
		if v, ok := value.(int64); ok && !target.OverflowInt(v) {
			target.SetInt(v)
			return
		}

		d.add(path, "expected a whole number, got %s", d.describe(value))
	case reflect.Float64:
		switch v := value.(type) {
		case int64:
			target.SetFloat(float64(v))
		case float64:
			target.SetFloat(v)
		default:
			d.add(path, "expected a number, got %s", d.describe(value))
		}
	default:
		panic("config: no decoder for " + target.Type().String())
	}
}

// text expands a string. If the value is not a string, cannot be expanded, or has a hidden mistake,
// text adds a problem and reports false.
func (d *decoder) text(path string, value any, want string) (string, bool) {
	s, ok := typed[string](d, path, value, want)
	if !ok {
		return "", false
	}

	expanded, complaints := expand(s, d.env)
	d.origin.texts[path] = text{written: s, value: expanded}
	complaints = append(complaints, hiddenMistakes(s, expanded)...)
	for _, c := range complaints {
		d.add(path, "%s", c)
	}

	return expanded, len(complaints) == 0
}

// hiddenMistakes describes mistakes that are easily overlooked in a value or its variable: a byte
// order mark, white space at the ends, a line break, or quotes around it.
func hiddenMistakes(written, value string) []string {
	in := "the value"
	if names := variables(written); len(names) > 0 {
		in = "the value or a variable in it (" + strings.Join(names, ", ") + ")"
	}

	switch quoted := len(value) > 1 && value[0] == value[len(value)-1] && strings.ContainsRune("\"'`", rune(value[0])); {
	case strings.Contains(value, byteOrderMark):
		return []string{in + " holds a byte order mark; remove it"}
	case strings.TrimSpace(value) != value:
		return []string{in + " begins or ends with white space; remove it"}
	case strings.ContainsAny(value, "\r\n\x00"):
		return []string{in + " holds a line break or a NUL byte; remove it"}
	case quoted:
		return []string{in + " begins and ends with quotation marks, which are part of it; remove them"}
	}

	return nil
}

// unit decodes a string with a parser whose error describes a valid text.
func unit[T any](d *decoder, path string, value any, target *T, parse func(string) (T, error)) {
	_, wanted := parse("")
	s, ok := d.text(path, value, wanted.Error())
	if !ok {
		return
	}

	v, err := parse(s)
	if err != nil {
		d.add(path, "expected %s, got %s", err, d.describe(value))
		return
	}

	*target = v
}

// secret accepts only a reference to a variable. The message about any other value does not repeat
// it, because it may be the secret.
func (d *decoder) secret(path string, value any, target *auth.Secret) {
	s, ok := value.(string)
	switch {
	case ok && s == "":
		return
	case !ok || !reference.MatchString(s):
		d.add(path, `expected a reference such as "${%s}"; a secret must not be in this file itself`,
			strings.ToUpper(path[strings.LastIndexByte(path, '.')+1:]))
		return
	}

	expanded, ok := d.text(path, s, "")
	switch {
	case !ok:
	case expanded == "":
		d.add(path, "the environment variable %s is empty", s[2:len(s)-1])
	default:
		*target = auth.NewSecret(expanded)
	}
}

func (d *decoder) stringMap(path string, value any, target *map[string]string) {
	table, ok := typed[map[string]any](d, path, value, "a table")
	if !ok {
		return
	}

	m := make(map[string]string, len(table))
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if s, ok := d.text(join(path, key), table[key], "a string"); ok {
			m[key] = s
		}
	}

	*target = m
}

func (d *decoder) stringList(path string, value any, target *[]string) {
	array, ok := typed[[]any](d, path, value, "an array of strings")
	if !ok {
		return
	}

	list := make([]string, 0, len(array))
	for i, v := range array {
		s, _ := d.text(element(path, i), v, "a string")
		list = append(list, s) // also an invalid one, so that the others keep their index
	}

	*target = list
}

// tables decodes an array of tables, each applied to its defaults.
func tables[T any](d *decoder, path string, value any, target *[]T, l *leaf, fresh func() T, complete func(*T)) {
	array, ok := typed[[]any](d, path, value, "an array of tables ([["+path+"]])")
	if !ok {
		return
	}

	list := make([]T, 0, len(array))
	for i, v := range array {
		entry, at := fresh(), element(path, i)
		if table, ok := typed[map[string]any](d, at, v, "a table"); ok {
			target := reflect.ValueOf(&entry).Elem()
			d.table(at, table, l.element, target)
			d.checkKinds(at, table, l.element, target)
		}

		complete(&entry)
		list = append(list, entry)
	}

	*target = list
}

// profiles adds to the default profiles, and replaces those of the same name.
func (d *decoder) profiles(path string, value any, target map[string]auth.Profile, l *leaf) {
	table, ok := typed[map[string]any](d, path, value, "tables ([auth.NAME])")
	if !ok {
		return
	}

	for _, name := range slices.Sorted(maps.Keys(table)) {
		at := join(path, name)
		if !bareKey.MatchString(name) {
			d.add(at, "expected a name of letters, digits, _ and -")
			continue
		}

		keys, ok := typed[map[string]any](d, at, table[name], "a table")
		if !ok {
			continue
		}

		profile := auth.Profile{Name: name, Kind: target[name].Kind}
		v := reflect.ValueOf(&profile).Elem()
		d.table(at, keys, l.element, v)
		d.checkKinds(at, keys, l.element, v)
		if keys["share"] == nil {
			profile.Share = profile.Kind.DefaultShare()
		}

		target[name] = profile
	}
}

// checkKinds adds a problem for each key that does not belong to the kind of its table.
func (d *decoder) checkKinds(at string, keys map[string]any, n *node, target reflect.Value) {
	kind := n.kindOf(target)
	if d.failed(join(at, "kind")) {
		return
	}

	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if c := n.child(key); c != nil && !c.applies(target.Type(), kind) {
			d.add(join(at, key), "does not belong to kind %s, only to %s", d.kindText(join(at, "kind"), kind),
				strings.Join(c.kinds(target.Type()), ", "))
		}
	}
}

// kindText quotes a kind as written in the file.
func (d *decoder) kindText(key, kind string) string {
	if written, ok := d.origin.written(key, kind); ok {
		return quote(written)
	}

	return quote(kind)
}
