package spool_test

import (
	"strings"
	"testing"
	"time"

	"backburn/pipeline/watch/spool"
)

// FuzzClaimedName checks that a claimed file's name can be split again, and is short enough.
func FuzzClaimedName(f *testing.F) {
	for _, name := range []string{"a", "-", "~x", strings.Repeat("n", 255), "\xff", "a\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, base string) {
		if base == "" || strings.ContainsAny(base, "/\x00") || len(base) > 255 {
			return
		}
		id := spool.NewID(time.Now(), spool.RootTag)
		name, whole := spool.ClaimedName(id, base)
		if len(name) > 250 {
			t.Errorf("%q is %d bytes long", name, len(name))
		}
		gotID, gotBase, gotWhole, ok := spool.SplitName(name)
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
		id := spool.NewID(now, spool.RootTag)
		if seen[id] {
			t.Fatalf("%s was returned twice", id)
		}
		seen[id] = true
		if at := spool.IDTime(id); now.Sub(at) >= time.Millisecond || at.After(now) {
			t.Fatalf("%s has the time %v, want %v", id, at, now)
		}
		if strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" || len(id) != 26 {
			t.Fatalf("%q is not a valid ID", id)
		}
	}
	for _, name := range []string{"", "x", strings.Repeat("0", 26), strings.Repeat("0", 26) + "-", strings.Repeat("u", 26) + "-x"} {
		if _, _, _, ok := spool.SplitName(name); ok {
			t.Errorf("%q is accepted as a claimed file's name", name)
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
		{"a.exe", 0, "a.exe"},
		{"a.exe", 1, "a.1.exe"},
		{"a", 2, "a.2"},
		{"a." + strings.Repeat("n", 253), 1, "a." + strings.Repeat("n", 246) + ".1"},
		{".profile", 1, ".profile.1"},
		{"a.tar.gz", 1, "a.tar.1.gz"},
		{strings.Repeat("n", 251) + ".exe", 1, strings.Repeat("n", 244) + ".1.exe"},
	} {
		if got := spool.Numbered(c.name, c.n); got != c.want {
			t.Errorf("%q, %d: %q, want %q", c.name, c.n, got, c.want)
		}
	}
}
