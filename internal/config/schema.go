package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"backburn/auth"
)

// node is a table or a key of the configuration. treeOf builds the tree of nodes from the structs
// of the packages that own the keys, by these tags:
//
//	toml:"key"       the key within the struct's table; "a.b" is the key b of the table a
//	toml:",inline"   the struct's fields are keys of the enclosing table
//	doc:"…"          the text in the reference; on a field named _, the text about the table
//	unit:"bytes"     the integer is written as a size, such as "100MB"
//	own:"…"          the value names one of Backburn's own files or folders; see Config.Own. The
//	                 tag says what it contains, as package guard calls it ("secret", "keys",
//	                 "headers"); "true" means no secret
//	example:"…"      the value in the example, if the default is empty
//	reload:"true"    a running process applies a new value at SIGHUP; other keys need a restart
//	kinds:"a b"      only tables whose key "kind" has one of these values have the key
//
// The rules of a struct are in its method Check; see checker.
type node struct {
	name     string
	doc      string
	children []*node
	leaf     *leaf // nil for a table
}

// leaf is a key that holds a value, or an array or map of tables.
type leaf struct {
	index   []int // leads from the root struct to the field
	typ     reflect.Type
	tag     reflect.StructTag
	element *node // the tables of an array or map; nil for a value
}

// schema is the tree of Config.
var schema = treeOf(reflect.TypeFor[Config]())

func treeOf(t reflect.Type) *node {
	root := &node{}
	root.add(t, nil)

	return root
}

// add adds the fields of the struct to which the index leads.
func (n *node) add(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
		at := append(slices.Clone(index), i)
		switch {
		case option == "inline":
			n.add(f.Type, at)
		case key == "" || key == "-":
		case f.Name == "_":
			n.at(key).doc = f.Tag.Get("doc")
		case isTable(f.Type):
			table := n.at(key)
			table.doc = f.Tag.Get("doc")
			table.add(f.Type, at)
		default:
			child := n.at(key)
			child.doc = f.Tag.Get("doc")
			child.leaf = &leaf{index: at, typ: f.Type, tag: f.Tag}
			if k := f.Type.Kind(); (k == reflect.Slice || k == reflect.Map) && isTable(f.Type.Elem()) {
				child.leaf.element = treeOf(f.Type.Elem())
			}
		}
	}
}

func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[auth.Secret]()
}

// at returns the node of a dotted key, and creates it if necessary.
func (n *node) at(key string) *node {
	for part := range strings.SplitSeq(key, ".") {
		child := n.child(part)
		if child == nil {
			child = &node{name: part}
			n.children = append(n.children, child)
		}

		n = child
	}

	return n
}

// child returns the node of a key, or nil.
func (n *node) child(name string) *node {
	i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name })
	if i < 0 {
		return nil
	}

	return n.children[i]
}

// leaves calls do for each leaf of a table and its subtables, but not for those of their elements.
func (n *node) leaves(path string, do func(at string, l *leaf)) {
	for _, c := range n.children {
		if at := join(path, c.name); c.leaf != nil {
			do(at, c.leaf)
		} else {
			c.leaves(at, do)
		}
	}
}

func (n *node) names() []string {
	names := make([]string, len(n.children))
	for i, c := range n.children {
		names[i] = c.name
	}

	return names
}

// kinds lists the kinds of tables that have the key; nil means all.
func (n *node) kinds(element reflect.Type) []string {
	if n.leaf == nil {
		return nil
	}

	if element == reflect.TypeFor[auth.Profile]() {
		var kinds []string
		for _, k := range auth.KindsWith(n.name) {
			kinds = append(kinds, string(k))
		}

		return kinds
	}

	return strings.Fields(n.leaf.tag.Get("kinds"))
}

// applies reports whether tables of a kind have the key.
func (n *node) applies(element reflect.Type, kind string) bool {
	kinds := n.kinds(element)

	return len(kinds) == 0 || kind == "" || slices.Contains(kinds, kind)
}

// kindOf returns the value of the key "kind" of a table, or "" if it has none.
func (n *node) kindOf(table reflect.Value) string {
	if c := n.child("kind"); c != nil && c.leaf != nil {
		return table.FieldByIndex(c.leaf.index).String()
	}

	return ""
}

// found is a value with the leaf of its key.
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
		if s, err := strconv.Unquote(part); err == nil {
			part = s
		}
		if v = v.MapIndex(reflect.ValueOf(part)); !v.IsValid() {
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
