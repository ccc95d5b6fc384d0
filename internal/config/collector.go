package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// collector collects problems with their positions.
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

// addAt adds a problem of key, with the position of shown, which may be another key.
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

// failed reports whether a key already has a problem. Its value is then not checked again.
func (p *collector) failed(key string) bool {
	return slices.ContainsFunc(p.problems, func(q Problem) bool { return q.Key == key })
}

// got describes the value of a key in a message. A string appears as in the file, so the value of a
// variable is never shown. Arrays and tables are not described.
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

	return ", got " + literal(key, v.Value, v.leaf, nil) // the value is not a string, so nil is not called
}

// value returns the value of a key, and whether it is set. If the value is not a string, value
// returns "".
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

// hide replaces the value of a key in a message with its text in the file, which shows the names of
// variables instead of their values.
func (p *collector) hide(key, value, message string) string {
	written, ok := p.origin.written(key, value)
	if !ok || written == value || value == "" {
		return message
	}

	return strings.ReplaceAll(message, value, written)
}

// Problem returns an error, with the position of its key, about a value that turned out to be wrong
// when it was used.
func (c Config) Problem(key, format string, args ...any) error {
	p := c.collect()
	p.problems = nil
	p.add(key, format, args...)

	return p.problems
}

// withValue inserts the value of a key after its name in a text, if the value is a duration.
func (p *collector) withValue(text, name, key string) string {
	v, ok := lookup(schema, reflect.ValueOf(p.cfg), key)
	if !ok || v.Type() != reflect.TypeFor[time.Duration]() {
		return text
	}

	return strings.Replace(text, name, name+" ("+FormatDuration(time.Duration(v.Int()))+")", 1)
}

// expected adds a problem with the value of a key, unless that key or one of the others in the rule
// already has a problem. Its position is that of the key or, if the file does not set the key, of
// one of the others.
func (p *collector) expected(key, expected string, related ...string) {
	if p.failed(key) {
		return
	}

	shown := key
	for _, other := range related {
		if p.failed(other) {
			return
		}
		if !p.origin.set(shown) && p.origin.set(other) {
			shown = other
		}
	}

	p.addAt(shown, key, "expected %s%s%s", expected, p.got(key), p.suggestion(key, expected))
}

// suggestion suggests the quoted word in expected that is nearest to the value of the key.
func (p *collector) suggestion(key, expected string) string {
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
