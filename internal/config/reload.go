package config

import "reflect"

// Change is a key whose value differs between two configurations.
type Change struct {
	Key    string // an array of tables that are added, removed or changed is one key, such as "sink"
	Reload bool   // a running process takes it up; otherwise it holds from the next start
}

// Changes lists the keys that differ in another configuration, in the order of the reference.
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

// Reloaded returns the configuration with those values of another that a running process takes up.
// Problems with it are shown at their places in the other's file.
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

// reloads reports whether a running process takes up another value.
func (l *leaf) reloads() bool { return l.tag.Get("reload") == "true" }
