package config

import "reflect"

// Change is a key whose value differs between two configurations.
type Change struct {
	Key    string // for an array of tables, such as "sink", the key of the whole array
	Reload bool   // a running process applies the new value; otherwise it needs a restart
}

// Changes lists the keys whose values differ in another configuration, in the reference's order.
func (c Config) Changes(other Config) []Change {
	return changes(schema, "", reflect.ValueOf(c), reflect.ValueOf(other))
}

func changes(n *node, path string, a, b reflect.Value) []Change {
	var list []Change
	for _, child := range n.children {
		at := join(path, child.name)
		if child.leaf == nil {
			list = append(list, changes(child, at, a, b)...)
			continue
		}

		x, y := a.FieldByIndex(child.leaf.index), b.FieldByIndex(child.leaf.index)
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			list = append(list, Change{Key: at, Reload: child.leaf.reloads()})
		}
	}

	return list
}

// Reloaded returns c with the values of other that a running process can apply. Its problems have
// positions in the file of other.
func (c Config) Reloaded(other Config) Config {
	reload(schema, reflect.ValueOf(&c).Elem(), reflect.ValueOf(other))
	c.origin = other.origin

	return c
}

func reload(n *node, to, from reflect.Value) {
	for _, child := range n.children {
		switch {
		case child.leaf == nil:
			reload(child, to, from)
		case child.leaf.reloads():
			to.FieldByIndex(child.leaf.index).Set(from.FieldByIndex(child.leaf.index))
		}
	}
}

// reloads reports whether a running process applies a new value.
func (l *leaf) reloads() bool { return l.tag.Get("reload") == "true" }
