package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

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

// Problem makes an error of something that only showed when the configuration was put to
// use, with the place of its key in the file.
func (c Config) Problem(key, format string, args ...any) error {
	p := c.collect()
	p.problems = nil
	p.add(key, format, args...)

	return p.problems
}

// withValue adds to the name of a key in a text the duration that it holds.
func (p *collector) withValue(text, name, key string) string {
	v, ok := lookup(schema, reflect.ValueOf(p.cfg), key)
	if !ok || v.Type() != reflect.TypeFor[time.Duration]() {
		return text
	}

	return strings.Replace(text, name, name+" ("+FormatDuration(time.Duration(v.Int()))+")", 1)
}

// expected adds a problem with the value of a key, unless it or one that the rule depends on
// has one. It is shown where the file sets the key or else, since one of them was set, where
// it sets one of the others.
func (p *collector) expected(key, expected string, beside ...string) {
	if p.failed(key) {
		return
	}
	shown := key
	for _, other := range beside {
		if p.failed(other) {
			return
		}
		if !p.origin.set(shown) && p.origin.set(other) {
			shown = other
		}
	}

	p.addAt(shown, key, "expected %s%s%s", expected, p.got(key), p.meant(key, expected))
}

// meant suggests the word in quotes that the value of the key is nearest to.
func (p *collector) meant(key, expected string) string {
	value, ok := p.value(key)
	if !ok {
		return ""
	}
	var words []string
	for i, part := range strings.Split(expected, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		}
	}

	return suggest(value, words)
}
