package apart_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"backburn/internal/apart"
)

// tree makes folders, files and links below a temporary folder: q/in, q/file, other/file, and
// links to them.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"q/in", "other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	for _, file := range []string{"q/file", "other/file"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if runtime.GOOS == "windows" {
		return root // links need a privilege on this system
	}

	for name, target := range map[string]string{
		"to-q": "q", "to-in": "./to-q/in", "to-file": filepath.Join(root, "q/file"), "to-new": "q/new",
		"to-to-new": "to-new", "loop": "loop", "other/out": "../q", "to-up": "to-in/../new",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}

	return root
}

func TestRelation(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for name, tc := range map[string]struct {
		folder, other string
		want          apart.Relation
		links         bool
	}{
		"neighbors":                   {"q", "other", apart.Apart, false},
		"itself":                      {"q", "q", apart.Same, false},
		"itself, spelled differently": {"q", "other/../q/", apart.Same, false},
		"below":                       {"q", "q/in", apart.Contains, false},
		"above":                       {"q/in", "q", apart.Inside, false},
		"file":                        {"q", "q/file", apart.Contains, false},
		"file elsewhere":              {"q", "other/file", apart.Apart, false},
		"to come":                     {"q", "q/a/b", apart.Contains, false},
		"to come elsewhere":           {"q", "qq/a/b", apart.Apart, false},
		"both to come":                {"n", "n/a", apart.Contains, false},
		"both to come, above":         {"n/a", "n", apart.Inside, false},
		"both to come, the same":      {"n/a", "n/a", apart.Same, false},
		"both to come, neighbors":     {"n/a", "n/ab", apart.Apart, false},
		"link":                        {"q", "to-q", apart.Same, true},
		"link of a link":              {"q", "to-in", apart.Contains, true},
		"link as the folder":          {"to-in", "q/in/a", apart.Contains, true},
		"below a link":                {"q", "to-q/in/a/b", apart.Contains, true},
		"absolute link to a file":     {"q", "to-file", apart.Contains, true},
		"link to nothing":             {"q", "to-new", apart.Contains, true},
		"link to a link to nothing":   {"q", "to-to-new", apart.Contains, true},
		"below a link to nothing":     {"q", "to-new/a", apart.Contains, true},
		"link to itself":              {"q", "loop", apart.Apart, true},
		"up from a link":              {"other", "to-q/../other/file", apart.Contains, true},
		"up from a link, as read":     {"q", "other/out/../q/file", apart.Contains, true},
		"up from a link, to come":     {"q", "to-in/../a", apart.Contains, true},
		"up from nothing":             {"q", "to-in/../none/../a", apart.Contains, true},
		"twice up from nothing":       {"q", "to-in/none/../../a", apart.Contains, true},
		"up from a file":              {"q", "to-file/../a", apart.Contains, true},
		"link up from a link":         {"q", "to-up", apart.Contains, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.links && runtime.GOOS == "windows" {
				t.Skip("links need a privilege here")
			}

			// Joined by hand: filepath.Join would resolve "..".
			got := apart.Now().Relation(root+"/"+tc.folder, root+"/"+tc.other)

			if got != tc.want {
				t.Errorf("relation of %s to %s is %d, want %d", tc.folder, tc.other, got, tc.want)
			}
		})
	}
}

func TestRelationOfRelativePaths(t *testing.T) {
	root := tree(t)
	t.Chdir(root)
	if got := apart.Now().Relation(".", "q/file"); got != apart.Contains {
		t.Errorf("got %d", got)
	}
	if got := apart.Now().Relation("q", filepath.Join(root, "q", "in")); got != apart.Contains {
		t.Errorf("got %d", got)
	}
}
