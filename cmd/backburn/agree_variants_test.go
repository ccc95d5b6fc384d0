package main

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	gotoml "github.com/pelletier/go-toml/v2"

	"backburn/auth"
	"backburn/internal/config"
)

// variant is a valid configuration with one or two changes. A @ in its text stands for the test's
// folder.
type variant struct{ name, text string }

// document is a configuration as TOML's generic tables.
type document = map[string]any

// base is a configuration that works, with at least one entry of everything that can be
// configured.
func base() document {
	return document{
		"nats": document{
			"url":      "nats://127.0.0.1:0",
			"embedded": document{"enabled": true, "store_dir": "@/store/nats"},
		},
		"http": document{"listen": "127.0.0.1:0"},
		"api": document{
			"listen": "127.0.0.1:0",
			"token":  []any{document{"file": "@/api-token", "source": "api"}},
		},
		"clamd": document{"listen": "127.0.0.1:0", "roots": []any{"@/roots"}},
		"mail":  document{"listen": "127.0.0.1:0"},
		"watch": []any{
			document{"path": "@/q", "source": "first"},
			document{"path": "@/kept", "source": "second", "claim": "keep", "state_dir": "@/state"},
		},
		"worker": document{"roots": document{"far": "@/roots"}},
		"policy": []any{document{"source": "first", "metadata": document{"class": "secret"}}},
		"sink": []any{
			document{
				"name":        "hook",
				"kind":        "webhook",
				"url":         "https://127.0.0.1:1/",
				"secret_file": "@/hook-key",
				"dead_file":   "@/dead/hook",
			},
			document{"name": "lines", "kind": "file", "path": "@/events.jsonl"},
			document{
				"name":      "log",
				"kind":      "syslog",
				"address":   "127.0.0.1:1",
				"protocol":  "tcp",
				"dead_file": "@/dead/log",
			},
		},
		"auth": document{
			"wildfire": document{
				"kind": "wildfire", "client_id": "it@1.iam.panserviceaccount.com", "tsg_id": "1",
				"client_secret_file": "@/secret", "token_url": "https://127.0.0.1:1/token",
			},
			"appliance": document{"kind": "api-key", "api_key_file": "@/secret"},
		},
		"wildfire": document{"url": "https://127.0.0.1:1", "auth": "wildfire"},
		"log":      document{"level": "info", "format": "json"},
	}
}

// variants returns a valid configuration and its variants: for each declared key, one in every of
// the values that values lists, and no value; for each table an unknown key; and the combinations.
func variants(every int) []variant {
	bare := base()
	for _, listener := range []string{"api", "clamd", "mail"} {
		delete(bare[listener].(document), "listen")
	}

	delete(bare, "sink")
	all := []variant{{"right", render(base())}, {"serves nobody", render(bare)}}
	add := func(at []any, what string, change func(table document, key string)) {
		doc := base()
		table := doc
		for _, part := range at[:len(at)-1] {
			table = subtable(table, part)
		}

		key := at[len(at)-1].(string)
		change(table, key)
		all = append(all, variant{fmt.Sprint(at, " ", what), render(doc)})
	}

	tables := map[string][]any{}
	tried := 0
	for _, k := range keys(reflect.TypeFor[config.Config](), nil) {
		tables[fmt.Sprint(k.at[:len(k.at)-1])] = k.at
		for _, value := range values(k) {
			if tried++; tried%every > 0 {
				continue
			}

			add(k.at, fmt.Sprintf("= %.40q", fmt.Sprint(value)), func(table document, key string) { table[key] = value })
		}

		if tried++; tried%every == 0 {
			add(k.at, "left out", func(table document, key string) { delete(table, key) })
		}
	}

	for _, table := range slices.Sorted(maps.Keys(tables)) {
		at := tables[table]
		add(at, "misspelt", func(table document, key string) { table[key+"x"] = 1 })
	}

	for name, text := range combinations {
		all = append(all, variant{name, render(base()) + text})
	}

	slices.SortStableFunc(all, func(a, b variant) int { return strings.Compare(a.name, b.name) })

	return all
}

// subtable returns the table for a part of a key, and creates it if necessary.
func subtable(table document, part any) document {
	key, ok := part.(string)
	if !ok {
		e := part.(arrayEntry)
		return table[e.array].([]any)[e.index].(document)
	}
	if table[key] == nil {
		table[key] = document{}
	}

	return table[key].(document)
}

// arrayEntry is an entry of an array of tables.
type arrayEntry struct {
	array string
	index int
}

// key is a configuration key with the tags that its owner declares.
type key struct {
	at  []any // names of tables, entries of arrays, and finally the name of the key
	typ reflect.Type
	tag reflect.StructTag
}

// keys lists the keys that a struct declares, for every entry that base has.
func keys(t reflect.Type, at []any) []key {
	var found []key
	for f := range fields(t) {
		name, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
		here := slices.Clone(at)
		parts := strings.Split(name, ".")
		for _, part := range parts {
			here = append(here, part)
		}

		element := f.Type
		if k := f.Type.Kind(); k == reflect.Slice || k == reflect.Map {
			element = f.Type.Elem()
		}

		switch {
		case option == "inline":
			found = append(found, keys(f.Type, at)...)
		case name == "" || name == "-" || f.Name == "_":
		case element.Kind() != reflect.Struct || element == reflect.TypeFor[auth.Secret]():
			found = append(found, key{here, f.Type, f.Tag})
		case f.Type.Kind() == reflect.Map:
			found = append(found, key{here, f.Type, f.Tag})
			for _, profile := range slices.Sorted(maps.Keys(base()["auth"].(document))) {
				found = append(found, keys(element, append(slices.Clone(here), profile))...)
			}
		case f.Type.Kind() == reflect.Slice:
			found = append(found, key{here, f.Type, f.Tag})
			table := base()
			for _, part := range at {
				table = subtable(table, part)
			}

			for i := range table[name].([]any) {
				found = append(found, keys(element, append(slices.Clone(at), arrayEntry{name, i}))...)
			}
		default:
			found = append(found, keys(f.Type, here)...)
		}
	}

	return found
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// values lists values to try for a key: other types, limits of ranges, other units, names of files
// that do not exist or are not private, and invalid globs, addresses and names. Some are valid for
// some keys.
func values(k key) []any {
	switch {
	case k.typ == reflect.TypeFor[time.Duration]():
		return []any{5, "5", "5 parsecs", "-1s", "0s", "1ms", "9999d", "99999999999h"}
	case k.tag.Get("unit") == "bytes":
		return []any{5, "1 potato", "-1MB", "0", "1B", "9999999999TB"}
	}

	switch k.typ.Kind() {
	case reflect.Bool:
		return []any{"yes", 1, true, false}
	case reflect.Int:
		return []any{"3", 1.5, -1, 0, 1, 2, int64(math.MaxInt64)}
	case reflect.Float64:
		return []any{"3", -1, 0, 0.5, math.NaN(), math.Inf(1), 1e12}
	case reflect.Map:
		return []any{"text", document{"far": 1}, document{"Not A Name": "@/roots"}, document{"far": "@/none"}, document{"a": "[", "b": "[", "c": "["}}
	case reflect.Slice:
		return []any{"text", 1, []any{1}, []any{"["}, []any{""}, []any{"${NOBODY_SETS_THIS}"}, []any{"/"}, []any{"@/q"}, []any{}, []any{document{}}}
	}

	texts := []any{
		7, true,
		[]any{"text"},
		document{"a": "b"},
		"", "text", "Not A Name", " text", "text\nmore", strings.Repeat("x", 300), "é", "/",
		"${NOBODY_SETS_THIS}", "${", "${SET_BY_THE_TEST}",
		"a/[b", "%zz://", "http://user:password@example.com/", "http://example.com/", "ftp://127.0.0.1/", "127.0.0.1", "127.0.0.1:99999",
	}
	if own := k.tag.Get("own"); own != "" {
		texts = append(texts, "@/none/none", "@/shown", "@/empty", "@/q", "@/q/inside", "@/secret", "cred:none")
	}

	return texts
}

// render writes a document as TOML.
func render(doc document) string {
	text, err := gotoml.Marshal(doc)
	if err != nil {
		panic(err)
	}

	return string(text)
}

// combinations are texts to append to the valid configuration: errors in more than one value, or in
// none.
var combinations = map[string]string{
	"a table twice":             "\n[nats]\n",
	"no TOML":                   "\nthis is none\n",
	"an unknown table":          "\n[unheard]\nof = 1\n",
	"a folder twice":            "\n[[watch]]\npath = '@/q'\nsource = 'third'\n",
	"a folder in a folder":      "\n[[watch]]\npath = '@/q/inside'\nsource = 'third'\n",
	"a folder by a link":        "\n[[watch]]\npath = '@/link'\nsource = 'third'\n",
	"a folder around all":       "\n[[watch]]\npath = '@'\nsource = 'third'\n",
	"a source twice":            "\n[[watch]]\npath = '@/other'\nsource = 'first'\n",
	"no folder":                 "\n[[watch]]\nsource = 'third'\n",
	"no source can be made":     "\n[[watch]]\npath = '/'\n",
	"after inside":              "\n[[watch]]\npath = '@/other'\nafter.benign = '@/other/done/'\n",
	"after with keep":           "\n[[watch]]\npath = '@/other'\nclaim = 'keep'\nafter.benign = 'delete'\n",
	"state without keep":        "\n[[watch]]\npath = '@/other'\nstate_dir = '@/state2'\n",
	"state in another folder":   "\n[[watch]]\npath = '@/other'\nclaim = 'keep'\nstate_dir = '@/q/inside'\n",
	"stale before settled":      "\n[[watch]]\npath = '@/other'\nsettle = '1h'\n",
	"a spool that is a link":    "\n[[watch]]\npath = '@/linked'\n",
	"a sink twice":              "\n[[sink]]\nname = 'lines'\nkind = 'file'\npath = '@/more.jsonl'\n",
	"a sink of no kind":         "\n[[sink]]\nname = 'more'\n",
	"a sink with another's key": "\n[[sink]]\nname = 'more'\nkind = 'file'\npath = '@/more.jsonl'\nurl = 'https://127.0.0.1/'\n",
	"a sink into a folder":      "\n[[sink]]\nname = 'more'\nkind = 'file'\npath = '@/q/more.jsonl'\n",
	"half a certificate":        "\n[[sink]]\nname = 'more'\nkind = 'webhook'\nurl = 'https://127.0.0.1/'\ndead_file = '@/dead/more'\ncert_file = '@/cert.pem'\n",
	"a certificate and a text":  "\n[[sink]]\nname = 'more'\nkind = 'webhook'\nurl = 'https://127.0.0.1/'\ndead_file = '@/dead/more'\ncert_file = '@/cert.pem'\nkey_file = '@/secret'\n",
	"a certificate and its key": "\n[[sink]]\nname = 'more'\nkind = 'webhook'\nurl = 'https://127.0.0.1/'\ndead_file = '@/dead/more'\ncert_file = '@/cert.pem'\nkey_file = '@/key.pem'\n",
	"authorities of none":       "\n[[sink]]\nname = 'more'\nkind = 'webhook'\nurl = 'https://127.0.0.1/'\ndead_file = '@/dead/more'\nca_file = '@/secret'\n",
	"a token twice":             "\n[[api.token]]\nfile = '@/api-token'\n",
	"an exposed token":          "\n[[api.token]]\nfile = '@/shown'\n",
	"a short token":             "\n[[api.token]]\nfile = '@/secret'\n",
	"urgent without the right":  "\n[[api.token]]\nfile = '@/api-token2'\npriority = 'urgent'\n",
	"globs that are none":       "\n[[policy]]\nsource = '['\nname = '['\nextension = '['\nkind = '['\nmetadata = { a = '[', b = '[', c = '[' }\n",
	"sizes in reverse":          "\n[[policy]]\nmin_size = '2MB'\nmax_size = '1MB'\n",
	"a report of nothing":       "\n[[policy]]\nsubmit = 'never'\nreport = 'always'\n",
	"a profile of no kind":      "\n[auth.more]\nclient_id = 'it'\n",
	"a profile's other key":     "\n[auth.more]\nkind = 'api-key'\ntsg_id = '1'\n",
	"a secret in the file":      "\n[auth.more]\nkind = 'wildfire'\nclient_secret = 'hush'\n",
	"a profile that lacks much": "\n[auth.more]\nkind = 'cortex'\n",
}
