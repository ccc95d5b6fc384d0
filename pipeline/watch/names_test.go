package watch_test

import (
	"path"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"backburn/pipeline/watch"
)

func TestDeferredNames(t *testing.T) {
	t.Parallel()
	match := watch.Globs(watch.DefaultDefer(), true)
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

// FuzzGlob compares the quick ways of matching with path.Match.
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
		if got := watch.Globs([]string{pattern}, false)(name); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// FuzzClaimedName checks that a claimed file's name can be taken apart again, and fits.
func FuzzClaimedName(f *testing.F) {
	for _, name := range []string{"a", "-", "~x", strings.Repeat("n", 255), "\xff", "a\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, base string) {
		if base == "" || strings.ContainsAny(base, "/\x00") || len(base) > 255 {
			return
		}
		id := watch.NewID(time.Now())
		name, whole := watch.ClaimedName(id, base)
		if len(name) > 250 {
			t.Errorf("%q is %d bytes long", name, len(name))
		}
		gotID, gotBase, gotWhole, ok := watch.SplitClaimed(name)
		if !ok || gotID != id || gotWhole != whole || whole && gotBase != base {
			t.Errorf("%q, %v became %q, %q, %v, %v", base, whole, gotID, gotBase, gotWhole, ok)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seen := map[string]bool{}
	for range 10_000 {
		id := watch.NewID(now)
		if seen[id] {
			t.Fatalf("%s comes twice", id)
		}
		seen[id] = true
		if at := watch.IDTime(id); now.Sub(at) >= time.Millisecond || at.After(now) {
			t.Fatalf("%s tells %v, made at %v", id, at, now)
		}
		if strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" || len(id) != 26 {
			t.Fatalf("%q is no id", id)
		}
	}
	for _, name := range []string{"", "x", strings.Repeat("0", 26), strings.Repeat("0", 26) + "-", strings.Repeat("u", 26) + "-x"} {
		if _, _, _, ok := watch.SplitClaimed(name); ok {
			t.Errorf("%q is taken for a claimed file", name)
		}
	}
}

func TestNumberedNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"a.exe", 0, "a.exe"}, {"a.exe", 1, "a.1.exe"}, {"a", 2, "a.2"}, {"a." + strings.Repeat("n", 253), 1, "a." + strings.Repeat("n", 246) + ".1"}, {".profile", 1, ".profile.1"},
		{"a.tar.gz", 1, "a.tar.1.gz"}, {strings.Repeat("n", 251) + ".exe", 1, strings.Repeat("n", 244) + ".1.exe"},
	} {
		if got := watch.Numbered(c.name, c.n); got != c.want {
			t.Errorf("%q, %d: %q, want %q", c.name, c.n, got, c.want)
		}
	}
}
