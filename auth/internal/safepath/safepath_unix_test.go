//go:build unix

package safepath_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"backburn/auth/internal/safepath"
	"backburn/internal/testkit/needs"
)

func TestCheckFindsReplaceableElements(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		make   func(t *testing.T, root string) string // returns the path to check
		unsafe bool
	}{
		{"own file", func(t *testing.T, root string) string {
			return file(t, filepath.Join(root, "file"))
		}, false},
		{"missing file", func(_ *testing.T, root string) string {
			return filepath.Join(root, "none", "file")
		}, false},
		{"own link to a safe place", func(t *testing.T, root string) string {
			file(t, filepath.Join(root, "file"))
			return link(t, "file", filepath.Join(root, "link"))
		}, false},
		{"in a world-writable folder", func(t *testing.T, root string) string {
			return file(t, filepath.Join(open(t, root, "all", 0o777), "file"))
		}, true},
		{"missing, in a world-writable folder", func(t *testing.T, root string) string {
			return filepath.Join(open(t, root, "all", 0o777), "file")
		}, true},
		{"two folders below a world-writable one", func(t *testing.T, root string) string {
			dir := filepath.Join(open(t, root, "all", 0o777), "a", "b")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}

			return file(t, filepath.Join(dir, "file"))
		}, true},
		{"a link to a world-writable folder", func(t *testing.T, root string) string {
			file(t, filepath.Join(open(t, root, "all", 0o777), "file"))
			return link(t, "all/file", filepath.Join(root, "link"))
		}, true},
		{"a link out of a world-writable folder", func(t *testing.T, root string) string {
			to := file(t, filepath.Join(root, "file"))
			return link(t, to, filepath.Join(open(t, root, "all", 0o777), "link"))
		}, true},
		{"own file in a sticky world-writable folder", func(t *testing.T, root string) string {
			return file(t, filepath.Join(open(t, root, "all", 0o777|os.ModeSticky), "file"))
		}, false},
		{"another user's file in a sticky world-writable folder", func(t *testing.T, root string) string {
			return foreign(t, file(t, filepath.Join(open(t, root, "all", 0o777|os.ModeSticky), "file")))
		}, true},
		{"another user's link in a sticky world-writable folder", func(t *testing.T, root string) string {
			to := file(t, filepath.Join(root, "file"))
			return foreign(t, link(t, to, filepath.Join(open(t, root, "all", 0o777|os.ModeSticky), "link")))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := safepath.Check(tt.make(t, t.TempDir()))
			if errors.Is(err, safepath.ErrUnsafe) != tt.unsafe || err != nil && !tt.unsafe {
				t.Errorf("got %v, want unsafe: %v", err, tt.unsafe)
			}
		})
	}
}

func TestCheckEndsOnLoops(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "loop")
	if err := safepath.Check(link(t, "loop", path)); err == nil {
		t.Error("a link to itself is accepted")
	}
}

func file(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, path string) string {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// open makes a folder with a mode that no umask changes.
func open(t *testing.T, root, name string, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}

	return dir
}

// foreign gives a file or a link to another user.
func foreign(t *testing.T, path string) string {
	t.Helper()
	needs.Root(t, "giving a file away")
	if err := os.Lchown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}

	return path
}
