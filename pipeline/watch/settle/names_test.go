package settle_test

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"backburn/pipeline/watch"
	"backburn/pipeline/watch/settle"
)

func TestDeferredNames(t *testing.T) {
	t.Parallel()
	match := settle.CompileGlobs(watch.DefaultDefer(), true).Match
	for name, want := range map[string]bool{
		".n.Ab12Cd": true, ".~tmp~/n": true, "n.tmp": true, "N.TMP": true, "n.part": true, "n.crdownload": true,
		"n.!qB": true, "n.!QB": true, "~$report.docx": true, "n~": true, "#n#": true, "sedAbCdEf": true, "n.camelLock": true,
		".nfs0001": true, "a/.b/c": true, "a/b.part/c": true,
		"n.exe": false, "tmp": false, "n.tmpx": false, "sedAbCdEfg": false, "part": false, "a/b/c": false, "#n": false,
	} {
		if got := match(name); got != want {
			t.Errorf("%q is deferred: %v, want %v", name, got, want)
		}
	}
}

// A star in a pattern for paths matches within one folder only, as with path.Match.
func TestPathGlobs(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"/*.tmp", "a/*", "*/b", "*/b.tmp", "a/b*", "/a", "a/b/c.tmp", "/*", "a/?/*"} {
		match := settle.CompileGlobs([]string{pattern}, false).Match
		for _, name := range []string{"a", "b.tmp", "a/b", "a/b.tmp", "x/a/b", "a/b/c.tmp", "a/bc/d"} {
			want, err := path.Match(strings.TrimPrefix(pattern, "/"), name)
			if got := match(name); err != nil || got != want {
				t.Errorf("%q matches %q: %v, want %v (%v)", pattern, name, got, want, err)
			}
		}
	}
}

// FuzzGlob compares the fast matching with path.Match.
func FuzzGlob(f *testing.F) {
	for _, p := range []string{"*.tmp", ".*", "~$*", "#*#", "sed??????", "exact", "[a-c]x", `\*`, "*", ""} {
		f.Add(p, "n.tmp")
		f.Add(p, ".hidden")
		f.Add(p, "exact")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Contains(pattern, "/") || strings.Contains(name, "/") || name == "" || pattern == "" {
			return
		}
		want, err := path.Match(pattern, name)
		if err != nil || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		if got := settle.CompileGlobs([]string{pattern}, false).Match(name); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}
