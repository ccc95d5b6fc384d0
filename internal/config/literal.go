package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// literal returns a value in TOML syntax; "" for a table. str returns the string at a key in TOML
// syntax.
func literal(at string, v reflect.Value, l *leaf, str func(at, value string) string) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return tomlString(FormatDuration(value))
	case []string:
		items := make([]string, len(value))
		for i, item := range value {
			items[i] = str(element(at, i), item)
		}

		return "[" + strings.Join(items, ", ") + "]"
	case map[string]string:
		items := make([]string, 0, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			items = append(items, quoteKey(key)+" = "+str(join(at, key), value[key]))
		}

		return "{" + strings.Join(items, ", ") + "}"
	}

	switch v.Kind() {
	case reflect.Int64:
		if l.tag.Get("unit") == "bytes" {
			return tomlString(Size(v.Int()).String())
		}
	case reflect.String:
		return str(at, v.String())
	case reflect.Float64:
		s := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.ContainsAny(s, ".IN") {
			s += ".0"
		}

		return s
	case reflect.Slice, reflect.Map, reflect.Struct:
		return ""
	}

	return fmt.Sprint(v.Interface())
}

func sortedKeys(m reflect.Value) []string {
	names := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		names = append(names, k.String())
	}
	slices.Sort(names)

	return names
}
