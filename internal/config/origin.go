package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"backburn/auth"
)

// origin remembers where the values of a configuration came from.
type origin struct {
	file     string
	places   places
	texts    map[string]text   // by key, strings as they were written
	flags    map[string]string // by key, the flag that set it
	problems Problems          // what could not be decoded
}

// text is a string before and after the variables in it were replaced.
type text struct{ written, value string }

// set reports whether the file or a flag sets the key.
func (o *origin) set(key string) bool {
	_, inFile := o.places[key]
	return inFile || o.flags[key] != ""
}

// written returns the text of a string before expansion, where that is what the value came
// from.
func (o *origin) written(key, value string) (string, bool) {
	t, ok := o.texts[key]
	return t.written, ok && t.value == value
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

// collector collects problems, each at its place.
type collector struct {
	cfg          Config
	origin       *origin
	problems     Problems
	needsProfile bool // the profile that is used must be complete
}

func (c Config) collect() *collector {
	o := c.origin
	if o == nil {
		o = &origin{}
	}

	return &collector{cfg: c, origin: o, problems: slices.Clone(o.problems)}
}

func (p *collector) add(key, format string, args ...any) { p.addAt(key, key, format, args...) }

// addAt adds a problem of a key that is shown where the file or a flag sets another.
func (p *collector) addAt(shown, key, format string, args ...any) {
	problem := Problem{File: p.origin.file, Key: key, Message: fmt.Sprintf(format, args...)}
	if flag := p.origin.flags[shown]; flag != "" {
		problem.File = flag
	} else {
		at := p.origin.places.at(shown)
		problem.Line, problem.Column = at.line, at.column
	}

	p.problems = append(p.problems, problem)
}

// failed reports whether a problem with this very key is known already, so that its
// value, which is still the default, is not judged.
func (p *collector) failed(key string) bool {
	return slices.ContainsFunc(p.problems, func(q Problem) bool { return q.Key == key })
}

// got describes the value of a key in a message. What was a string in the file appears as it
// is written there, so that the value of a variable never does. Of arrays and tables it says
// nothing.
func (p *collector) got(key string) string {
	v, ok := lookup(schema, reflect.ValueOf(p.cfg), key)
	if !ok {
		return ""
	}

	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return ""
	case reflect.String:
		text := v.String()
		if written, ok := p.origin.written(key, text); ok {
			text = written
		}
		return ", got " + quote(redact(text))
	}

	return ", got " + literal(v.Value, v.leaf)
}

// value returns a string of the configuration, and whether the key has a value.
func (p *collector) value(key string) (string, bool) {
	v, ok := lookup(schema, reflect.ValueOf(p.cfg), key)
	if !ok || v.IsZero() {
		return "", false
	}
	if v.Kind() == reflect.String {
		return v.String(), true
	}

	return "", true
}

// hide replaces the value of a variable in a message by its name.
func (p *collector) hide(key, value, message string) string {
	written, ok := p.origin.written(key, value)
	if !ok || written == value || value == "" {
		return message
	}

	return strings.ReplaceAll(message, value, written)
}

// found is a value with the tag of its key.
type found struct {
	reflect.Value
	leaf *leaf
}

// lookup finds the value of a key such as "watch[1].after.benign" or "auth.wildfire.tsg_id".
func lookup(n *node, table reflect.Value, key string) (found, bool) {
	part, rest := cutKey(key)
	name, index, isElement := cutIndex(part)
	child := n.child(name)
	switch {
	case child == nil:
		return found{}, false
	case child.leaf == nil:
		return lookup(child, table, rest)
	}

	v := table.FieldByIndex(child.leaf.index)
	switch {
	case isElement && (v.Kind() != reflect.Slice || index >= v.Len()):
		return found{}, false
	case isElement:
		v = v.Index(index)
	case v.Kind() == reflect.Map && rest != "":
		part, rest = cutKey(rest)
		if v = v.MapIndex(reflect.ValueOf(unquoteKey(part))); !v.IsValid() {
			return found{}, false
		}
	}

	switch {
	case rest == "":
		return found{v, child.leaf}, v.Type() == reflect.TypeFor[auth.Secret]() || v.Kind() != reflect.Struct
	case child.leaf.element == nil:
		return found{}, false
	}

	return lookup(child.leaf.element, v, rest)
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
