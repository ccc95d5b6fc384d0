package rootfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"backburn/internal/rootfs"
	"backburn/internal/testkit/needs"
)

// Another user may not decide what is opened by a name that the operator chose: a link of his own
// is refused wherever it is in the name. Links of this user are followed.
func TestLinksOfOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	needs.Root(t, "a link of another user")
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "real", "sub"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "real", "sub", "f"), []byte("contents"), 0o600))
	link := func(target, name string, foreign bool) {
		t.Helper()
		must(os.Symlink(target, filepath.Join(dir, name)))
		if foreign {
			must(os.Lchown(filepath.Join(dir, name), 65534, 65534))
		}
	}
	link("real", "own", false)
	link(filepath.Join(dir, "real"), "absolute", false)
	link("own/sub/f", "file", false)
	link("real", "foreign", true)
	link("foreign", "to-foreign", false)
	link("real/sub/f", "foreign-file", true)
	link("nothing", "foreign-dangling", true)
	link("real/sub/new", "dangling", false)
	link("loop", "loop", false)

	for name, want := range map[string]error{
		"real": nil, "real/": nil, "./real//sub/..": nil, "own": nil, "own/sub": nil, "absolute/sub/": nil,
		"foreign": rootfs.ErrForeignLink, "foreign/sub": rootfs.ErrForeignLink, "foreign/": rootfs.ErrForeignLink,
		"to-foreign": rootfs.ErrForeignLink, "real/../foreign/sub": rootfs.ErrForeignLink,
		"none": os.ErrNotExist, "foreign-dangling": rootfs.ErrForeignLink,
	} {
		r, err := rootfs.Open(dir + "/" + name)
		if !errors.Is(err, want) || (err == nil) != (want == nil) || err != nil && !errors.Is(err, rootfs.ErrRoot) {
			t.Errorf("folder %s: %v, want %v", name, err, want)
		}
		if err == nil {
			r.Close()
		}
	}

	for name, want := range map[string]error{
		"real/sub/f": nil, "own/sub/f": nil, "file": nil, "real/sub/created": nil, "dangling": nil,
		"foreign-file": rootfs.ErrForeignLink, "foreign/sub/f": rootfs.ErrForeignLink, "foreign/sub/new2": rootfs.ErrForeignLink,
		"foreign-dangling": rootfs.ErrForeignLink, "none/f": os.ErrNotExist,
	} {
		f, err := rootfs.OpenPath(dir+"/"+name, os.O_RDWR|os.O_CREATE, 0o600)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("file %s: %v, want %v", name, err, want)
		}
		if err == nil {
			must(f.Close())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "real", "sub", "new2")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was created through another user's link (%v)", err)
	}
	if _, err := rootfs.Open(dir + "/loop"); err == nil {
		t.Error("a loop of links was opened")
	}
}
