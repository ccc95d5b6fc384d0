package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"backburn/auth"
)

// maxFile is the longest configuration that is read, in bytes.
const maxFile = 1 << 20

// Load reads and checks the file. What is wrong with its contents comes as Problems; an
// error of another type means that it could not be read.
func Load(path string, env Env) (Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return Config{}, fmt.Errorf("configuration: %s: expected a file of at most %s", path, Size(maxFile))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return Parse(data, path, env)
}

// Parse reads and checks the text of a configuration. The name stands for the file in
// messages. A nil env means that no variable is set. The error, where there is one, is of type Problems.
func Parse(data []byte, name string, env Env) (Config, error) {
	cfg := Default()
	cfg.origin.file = name
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}

	// The library's generic decoder knows all of TOML's rules, duplicate keys among
	// them, and stops at the first that is broken. Everything above syntax is ours,
	// because the library's typed decoder would stop at the first wrong type as well.
	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		return cfg, Problems{syntaxProblem(name, err)}
	}
	cfg.origin.places = locate(data)

	d := decoder{checker: checker{origin: cfg.origin}, env: env, written: map[string]string{}}
	d.table("", document, reflect.ValueOf(&cfg).Elem())
	cfg.validate(&d)
	return cfg, d.problems.err()
}

func syntaxProblem(name string, err error) Problem {
	p := Problem{File: name, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		p.Line, p.Column = de.Position()
	}
	return p
}

// checker collects problems, each at its place.
type checker struct {
	origin   origin
	problems Problems
}

func (c *checker) add(key, format string, args ...any) {
	c.addAt(c.origin.places.at(key), key, format, args...)
}

func (c *checker) addAt(at place, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{
		File: c.origin.file, Line: at.line, Column: at.column,
		Key: key, Message: fmt.Sprintf(format, args...),
	})
}

// failed reports whether a problem with this very key is known already, so that its
// value, which is still the default, is not judged.
func (c *checker) failed(key string) bool {
	return slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Key == key })
}

// decoder fills Config from the generic form of a document. A value with a problem
// leaves the default where it is.
type decoder struct {
	checker
	env     Env
	written map[string]string // by path, the text of strings before expansion
}

// got describes a value in a message. What was a string in the file appears as it is
// written there, so that the value of a variable never does.
func (d *decoder) got(path string, value any) string {
	if text, ok := d.written[path]; ok {
		return quote(text)
	}
	switch v := value.(type) {
	case string:
		return quote(v)
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalTime, toml.LocalDateTime:
		return fmt.Sprintf("the date or time %v", v)
	}
	return fmt.Sprint(value)
}

// quote shortens and quotes text from the file.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// table decodes a TOML table into a struct.
func (d *decoder) table(path string, table map[string]any, target reflect.Value) {
	fields := map[string]int{}
	for i := range target.NumField() {
		if key := target.Type().Field(i).Tag.Get("toml"); key != "" {
			fields[key] = i
		}
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		i, known := fields[key]
		if !known {
			d.add(join(path, key), "unknown key%s", suggest(key, slices.Sorted(maps.Keys(fields))))
			continue
		}
		d.value(join(path, key), table[key], target.Field(i), target.Type().Field(i).Tag)
	}
}

// value decodes one value into a field.
func (d *decoder) value(path string, value any, target reflect.Value, tag reflect.StructTag) {
	switch t := target.Addr().Interface().(type) {
	case *[]Watch:
		d.watches(path, value, t)
		return
	case *[]Sink:
		d.sinks(path, value, t)
		return
	case *map[string]Auth:
		d.profiles(path, value, *t)
		return
	case *auth.Secret:
		d.secret(path, value, t)
		return
	case *map[string]string:
		d.stringMap(path, value, t)
		return
	case *[]string:
		d.stringList(path, value, t)
		return
	case *Duration:
		unit(d, path, value, t, ParseDuration)
		return
	case *Size:
		unit(d, path, value, t, ParseSize)
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		if v, ok := value.(map[string]any); ok {
			d.table(path, v, target)
			return
		}
		d.add(path, "expected a table, got %s", d.got(path, value))
	case reflect.String:
		if s, ok := d.text(path, value, "a string"); ok && d.allowed(path, s, tag) {
			target.SetString(s)
		}
	case reflect.Bool:
		if v, ok := value.(bool); ok {
			target.SetBool(v)
			return
		}
		d.add(path, "expected true or false, got %s", d.got(path, value))
	case reflect.Int:
		if v, ok := value.(int64); ok && !target.OverflowInt(v) {
			target.SetInt(v)
			return
		}
		d.add(path, "expected a whole number, got %s", d.got(path, value))
	case reflect.Float64:
		switch v := value.(type) {
		case int64:
			target.SetFloat(float64(v))
		case float64:
			target.SetFloat(v)
		default:
			d.add(path, "expected a number, got %s", d.got(path, value))
		}
	default:
		panic("config: no decoder for " + target.Type().String())
	}
}

// text expands a string. It reports false, after adding the problem, where the value is
// not a string or cannot be expanded.
func (d *decoder) text(path string, value any, want string) (string, bool) {
	s, ok := value.(string)
	if !ok {
		d.add(path, "expected %s, got %s", want, d.got(path, value))
		return "", false
	}
	expanded, complaints := expand(s, d.env)
	d.written[path] = s
	for _, c := range complaints {
		d.add(path, "%s", c)
	}
	return expanded, len(complaints) == 0
}

// allowed checks a string against the words of its field's oneof tag, if it has one.
func (d *decoder) allowed(path, s string, tag reflect.StructTag) bool {
	list, limited := tag.Lookup("oneof")
	if !limited {
		return true
	}
	words := strings.Split(list, " ")
	if slices.Contains(words, s) {
		return true
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	d.add(path, "expected one of %s, got %s%s", strings.Join(quoted, ", "), d.got(path, s), suggest(s, words))
	return false
}

// unit decodes a string by a parser whose error says what it wants.
func unit[T any](d *decoder, path string, value any, target *T, parse func(string) (T, error)) {
	_, wanted := parse("")
	s, ok := d.text(path, value, wanted.Error())
	if !ok {
		return
	}
	v, err := parse(s)
	if err != nil {
		d.add(path, "expected %s, got %s", err, d.got(path, s))
		return
	}
	*target = v
}

// secret takes nothing but a reference to a variable. The text of a refused value is not
// repeated: it may be the secret.
func (d *decoder) secret(path string, value any, target *auth.Secret) {
	s, ok := value.(string)
	switch {
	case ok && s == "":
		return
	case !ok || !reference.MatchString(s):
		d.add(path, `expected a reference such as "${%s}"; a secret does not stand in this file itself`,
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
	table, ok := value.(map[string]any)
	if !ok {
		d.add(path, "expected a table, got %s", d.got(path, value))
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
	array, ok := value.([]any)
	if !ok {
		d.add(path, "expected an array of strings, got %s", d.got(path, value))
		return
	}
	list := make([]string, 0, len(array))
	for i, v := range array {
		s, _ := d.text(element(path, i), v, "a string")
		list = append(list, s) // a bad one too, so that the others keep their places
	}
	*target = list
}

func (d *decoder) watches(path string, value any, target *[]Watch) {
	array, ok := value.([]any)
	if !ok {
		d.add(path, "expected an array of tables ([[watch]]), got %s", d.got(path, value))
		return
	}
	list := make([]Watch, 0, len(array))
	for i, v := range array {
		w := DefaultWatch()
		d.value(element(path, i), v, reflect.ValueOf(&w).Elem(), "")
		if table, ok := v.(map[string]any); ok && table["source"] == nil {
			w.Source = sourceOf(w.Path)
		}
		list = append(list, w)
	}
	*target = list
}

func (d *decoder) sinks(path string, value any, target *[]Sink) {
	array, ok := value.([]any)
	if !ok {
		d.add(path, "expected an array of tables ([[sink]]), got %s", d.got(path, value))
		return
	}
	list := make([]Sink, 0, len(array))
	for i, v := range array {
		s := DefaultSink()
		d.value(element(path, i), v, reflect.ValueOf(&s).Elem(), "")
		list = append(list, s)
	}
	*target = list
}

// profiles adds to the profiles that are there by default, and replaces those of the
// same name. The kind comes first, since it decides about the other keys.
func (d *decoder) profiles(path string, value any, target map[string]Auth) {
	table, ok := value.(map[string]any)
	if !ok {
		d.add(path, "expected tables ([auth.NAME]), got %s", d.got(path, value))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		at := join(path, name)
		if !bareKey.MatchString(name) {
			d.add(at, "expected a name of letters, digits, _ and -")
			continue
		}
		keys, ok := table[name].(map[string]any)
		if !ok {
			d.add(at, "expected a table, got %s", d.got(at, table[name]))
			continue
		}
		profile := Auth{Kind: target[name].Kind}
		if keys["kind"] == nil && profile.Kind == "" {
			d.add(at, "expected a kind: %s", auth.KindList(auth.Kinds()))
		}
		d.table(at, keys, reflect.ValueOf(&profile).Elem())
		if !d.failed(join(at, "kind")) {
			d.fits(at, keys, profile.Kind)
		}
		if keys["share"] == nil {
			profile.Share = profile.Kind.DefaultShare()
		}
		target[name] = profile
	}
}

// fits checks that the keys of a profile belong to its kind.
func (d *decoder) fits(at string, keys map[string]any, kind auth.Kind) {
	if kind == "" {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		kinds := auth.KindsWith(key)
		if len(kinds) > 0 && !slices.Contains(kinds, kind) {
			d.add(join(at, key), "does not belong to a profile of kind %q, only to %s", kind, auth.KindList(kinds))
		}
	}
}
