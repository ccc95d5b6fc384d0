package config

import "reflect"

// Change is a key whose value differs between two configurations.
type Change struct {
	Key    string // for an array of tables, such as "sink", the key of the whole array
	Reload bool   // a running process applies the new value; otherwise it needs a restart
}

// Changes lists the keys whose values differ in another configuration, in the reference's order.
func (c Config) Changes(other Config) []Change {
	var list []Change
	a, b := reflect.ValueOf(c), reflect.ValueOf(other)
	schema.leaves("", func(at string, l *leaf) {
		if !reflect.DeepEqual(a.FieldByIndex(l.index).Interface(), b.FieldByIndex(l.index).Interface()) {
			list = append(list, Change{Key: at, Reload: l.reloads()})
		}
	})

	return list
}

// Reloaded returns c with the values of other that a running process can apply. Its problems have
// positions in the file of other.
func (c Config) Reloaded(other Config) Config {
	to, from := reflect.ValueOf(&c).Elem(), reflect.ValueOf(other)
	schema.leaves("", func(_ string, l *leaf) {
		if l.reloads() {
			to.FieldByIndex(l.index).Set(from.FieldByIndex(l.index))
		}
	})
	c.origin = other.origin

	return c
}

// reloads reports whether a running process applies a new value.
func (l *leaf) reloads() bool { return l.tag.Get("reload") == "true" }
