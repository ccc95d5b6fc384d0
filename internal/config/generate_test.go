package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// exampleHead is the beginning of the example.
const exampleHead = `# Backburn: every key, with its unit and its default. One file serves every binary.
#
# Reading is strict: an unknown key, a wrong unit or an impossible combination is an
# error that names the line. "backburn config check" reports all of them at once.
#
#   Durations   "250ms", "30s", "1m30s", "24h", "7d"
#   Sizes       "100MB" is 100 x 10^6 bytes, "100MiB" is 100 x 2^20
#   ${NAME}     in a string: the environment variable NAME, which must be set;
#               $$ is one dollar sign, any other dollar sign is itself
#   Paths       relative ones count from the working directory of the process
#
# Lines that begin with "#" and no space are examples of what is not set by default.
#
# This file is generated from the source: "make config".
`

// referenceHead is the beginning of the reference.
const referenceHead = `# Configuration

This page lists every configuration key. One TOML file serves every binary: ` + "`--config`" + `, or
` + "`backburn.toml`" + ` in the working directory, or for the binary of a package
` + "`/etc/backburn/backburn.toml`" + `. Without a file, the defaults apply. Flags override the file.
` + "`backburn config check`" + ` finds all errors, with file, line and column. ` + "`backburn config show`" + ` prints
every effective value and its origin.

Backburn refuses an unknown key, a wrong type or unit, an unset variable, and a combination that
cannot work. It reports all errors at once.

- A duration is a string with units: ` + "`\"250ms\"`, `\"1m30s\"`, `\"24h\"`, `\"7d\"`" + `.
- A size is a string with a unit: ` + "`\"100MB\"`" + ` is 10^8 bytes, ` + "`\"100MiB\"`" + ` is 100 × 2^20.
- In a string, ` + "`${NAME}`" + ` is the environment variable NAME, which must be set. ` + "`$$`" + ` is one dollar sign.
- Relative paths start at the working directory of the process.

If the column Reload says "yes", a reload applies a new value to a running process: send SIGHUP, or
run ` + "`systemctl reload backburn`" + ` ([operate](operate.md#change-the-configuration)). Other keys need a
restart.

This page is generated from the source: ` + "`make config`" + `.
`

// entry is a table of the reference with the values that it shows.
type entry struct {
	node    *node
	path    string
	heading string // in TOML
	doc     string
	value   reflect.Value
	example bool // does not exist by default
	reload  bool // a reload applies all of its keys
}

// entries lists the tables in the order of the example.
func entries() []entry {
	return entriesOf(schema, "", reflect.ValueOf(Default()))
}

func entriesOf(n *node, path string, v reflect.Value) []entry {
	var list []entry
	for _, c := range n.children {
		at := join(path, c.name)
		switch {
		case c.leaf == nil:
			list = append(list, entry{
				node:    c,
				path:    at,
				heading: "[" + at + "]",
				doc:     c.doc,
				value:   v,
			})
			list = append(list, entriesOf(c, at, v)...)
		case c.leaf.element != nil:
			for _, e := range samples(c, at) {
				e.reload = c.leaf.reloads()
				list = append(list, e)
			}
		}
	}

	return list
}

// samples lists an entry for each kind of table of an array or map.
func samples(c *node, path string) []entry {
	element := c.leaf.element
	switch c.leaf.typ.Elem() {
	case reflect.TypeFor[watch.Config]():
		v := reflect.ValueOf(Default().Watch[0])
		e := exampleOf(c, path, Default().Watch[0])
		e.example = false

		return append([]entry{e}, entriesOf(element, path, v)...)

	case reflect.TypeFor[api.Token]():
		return []entry{exampleOf(c, path, api.DefaultToken())}
	case reflect.TypeFor[pipeline.Rule]():
		return []entry{exampleOf(c, path, pipeline.DefaultRule())}

	case reflect.TypeFor[auth.Profile]():
		list := []entry{}
		for _, kind := range exampleKinds() {
			v := reflect.ValueOf(auth.DefaultProfile(string(kind), kind))
			list = append(list, entry{
				node:    element,
				path:    path,
				heading: "[" + join(path, string(kind)) + "]",
				doc:     c.doc,
				value:   v,
				example: kind != auth.KindWildFire,
			})
		}

		return list
	}

	list := []entry{}
	for _, kind := range []string{sink.KindWebhook, sink.KindFile, sink.KindSyslog} {
		s := sink.DefaultConfig()
		s.Kind = kind
		s.Name = kind
		list = append(list, exampleOf(c, path, s))
	}

	return list
}

// exampleOf returns a table of an array that is empty by default.
func exampleOf(c *node, path string, value any) entry {
	return entry{
		node:    c.leaf.element,
		path:    path,
		heading: "[[" + path + "]]",
		doc:     c.doc,
		value:   reflect.ValueOf(value),
		example: true,
	}
}

// exampleKinds lists the kinds of profiles, the default one first.
func exampleKinds() []auth.Kind {
	kinds := slices.DeleteFunc(slices.Clone(auth.Kinds()), func(k auth.Kind) bool { return k == auth.KindWildFire })

	return append([]auth.Kind{auth.KindWildFire}, kinds...)
}

// GeneratedExample writes config.example.toml: every key with its default.
func GeneratedExample() []byte {
	var b strings.Builder
	b.WriteString(exampleHead)
	said := map[string]bool{}
	for _, e := range entries() {
		b.WriteString("\n")
		if !said[e.path] {
			comment(&b, e.doc)
		}

		comments := ""
		if e.example {
			comments = "#"
		}

		fmt.Fprintf(&b, "%s%s\n", comments, e.heading)
		for _, c := range e.node.children {
			exampleKey(&b, e, c, said)
		}

		said[e.path] = true
	}

	return []byte(b.String())
}

func exampleKey(b *strings.Builder, e entry, c *node, said map[string]bool) {
	if c.leaf == nil || c.leaf.element != nil || !c.applies(e.value.Type(), e.node.kindOf(e.value)) {
		return
	}

	if key := join(e.path, c.name); !said[key] {
		comment(b, c.doc)
		said[key] = true
	}

	comments := ""
	if e.example || c.leaf.typ == reflect.TypeFor[auth.Secret]() {
		comments = "#"
	}

	fmt.Fprintf(b, "%s%s = %s\n", comments, c.name, exampleValue(c, e.value, e.example))
}

// exampleValue returns the default, or a placeholder in an example.
func exampleValue(c *node, table reflect.Value, example bool) string {
	v := table.FieldByIndex(c.leaf.index)
	text := c.leaf.tag.Get("example")
	if p, ok := table.Interface().(auth.Profile); ok && !isRequired(c.name, p.Kind) {
		text = ""
	}

	switch list, isList := v.Interface().([]string); {
	case c.leaf.typ == reflect.TypeFor[auth.Secret]():
		return `"${` + strings.ToUpper(c.name) + `}"`
	case example && text != "" && v.Kind() == reflect.String && v.IsZero():
		return tomlString(text)
	case example && text != "" && v.Kind() != reflect.String:
		return text
	case isList && len(plainLiteral(v, c.leaf)) > commentWidth:
		return wrappedList(list)
	}

	return plainLiteral(v, c.leaf)
}

// isRequired reports whether profiles of a kind need a key, or may need it in place of a secret.
func isRequired(key string, kind auth.Kind) bool {
	return slices.ContainsFunc(kind.Required(), func(required string) bool {
		return key == required || key == required+"_file"
	})
}

// commentWidth is the width at which lines are wrapped, in bytes.
const commentWidth = 96

// wrappedList writes a long array of strings in several lines.
func wrappedList(list []string) string {
	var b strings.Builder
	b.WriteString("[")
	width := commentWidth
	for _, s := range list {
		item := tomlString(escape(s)) + ","
		if width+1+len(item) > commentWidth {
			b.WriteString("\n ")
			width = 1
		}

		b.WriteString(" " + item)
		width += 1 + len(item)
	}

	return b.String() + "\n]"
}

// comment writes a text as comment lines.
func comment(b *strings.Builder, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > commentWidth {
			b.WriteString("# " + line + "\n")
			line = ""
		}

		line = strings.TrimSpace(line + " " + word)
	}

	if line != "" {
		b.WriteString("# " + line + "\n")
	}
}

// GeneratedReference writes docs/configuration.md.
func GeneratedReference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	listed := map[string]bool{}
	var tables strings.Builder
	b.WriteString("\nSections:\n\n")
	for _, e := range entries() {
		if listed[e.path] {
			continue // its keys are there, with the kinds that they belong to
		}

		listed[e.path] = true
		heading := e.heading
		if e.node.kindOf(e.value) != "" {
			heading = map[bool]string{true: "[" + e.path + ".NAME]", false: heading}[!strings.HasPrefix(heading, "[[")]
		}

		anchor := strings.NewReplacer("[", "", "]", "", ".", "").Replace(strings.ToLower(heading))
		purpose, _, _ := strings.Cut(e.doc, ". ")
		purpose, _, _ = strings.Cut(strings.TrimSuffix(purpose, "."), "; docs/")
		purpose, _, _ = strings.Cut(purpose, ": ")
		purpose, _, _ = strings.Cut(purpose, " (")
		fmt.Fprintf(&b, "- [`%s`](#%s): %s\n", heading, anchor, purpose)
		writeTable(&tables, e, heading)
	}

	b.WriteString(tables.String())

	return []byte(b.String())
}

// writeTable writes the keys of an entry. What does not fit into a cell is listed below the table.
func writeTable(b *strings.Builder, e entry, heading string) {
	fmt.Fprintf(b, "\n## `%s`\n\n%s\n\n", heading, e.doc)
	b.WriteString("| Key | Type | Default | Reload | Meaning |\n|---|---|---|---|---|\n")

	var details strings.Builder
	for _, c := range e.node.children {
		if c.leaf == nil || c.leaf.element != nil {
			continue
		}

		reload := ""
		if e.reload || c.leaf.reloads() {
			reload = "yes"
		}

		cell, rest := shorten(meaning(c, e))
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", c.name, typeName(c.leaf), defaultOf(c, e), reload, cell)
		if rest != "" {
			fmt.Fprintf(&details, "- `%s`: %s\n", c.name, rest)
		}
	}

	if details.Len() > 0 {
		b.WriteString("\nIn detail:\n\n" + details.String())
	}
}

// shorten cuts a text after the last sentence that ends within a cell of 160 characters.
func shorten(text string) (cell, rest string) {
	const most = 160
	if len(text) <= most {
		return text, ""
	}

	end := strings.LastIndex(text[:most], ". ")
	if end < 0 {
		end = strings.Index(text, ". ")
	}
	if end < 0 {
		return text, ""
	}

	return text[:end+1], text[end+2:]
}

func typeName(l *leaf) string {
	switch {
	case l.typ == reflect.TypeFor[time.Duration]():
		return "duration"
	case l.typ == reflect.TypeFor[auth.Secret]():
		return "`${NAME}`"
	case l.tag.Get("unit") == "bytes":
		return "size"
	}

	switch l.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "strings"
	case reflect.Map:
		return "table of strings"
	}

	return "string"
}

// defaultOf is the default of a key in a table of the reference.
func defaultOf(c *node, e entry) string {
	if c.leaf.typ == reflect.TypeFor[auth.Secret]() {
		return ""
	}
	if e.node.kindOf(e.value) != "" && (c.name == "kind" || c.name == "name") {
		return "required" // the value is that of the example
	}
	if !c.applies(e.value.Type(), e.node.kindOf(e.value)) && e.value.FieldByIndex(c.leaf.index).IsZero() {
		return ""
	}

	return "`" + strings.ReplaceAll(strings.ReplaceAll(plainLiteral(e.value.FieldByIndex(c.leaf.index), c.leaf), "'", `"`), "|", `\|`) + "`"
}

// meaning is what a key means, and for which kinds it is.
func meaning(c *node, e entry) string {
	text := strings.ReplaceAll(c.doc, "|", `\|`)
	text = strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
	if kinds := c.kinds(e.value.Type()); len(kinds) > 0 && c.name != "kind" {
		text = strings.TrimSpace(text + " Kinds: " + strings.Join(kinds, ", ") + ".")
	}

	return text
}

// plainLiteral is literal for values that come from no file.
func plainLiteral(v reflect.Value, l *leaf) string {
	return literal("", v, l, func(_, value string) string { return tomlString(escape(value)) })
}
