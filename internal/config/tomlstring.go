package config

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// tomlString returns a string in TOML syntax.
func tomlString(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) && utf8.ValidString(s) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}

	b, err := toml.Marshal(map[string]string{"s": s})
	if err != nil {
		return strconv.Quote(s) // cannot happen: every string can be marshaled
	}

	_, text, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), " = ")

	return text
}
