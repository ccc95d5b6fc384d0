package rootfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/internal/rootfs"
	"backburn/internal/testkit/needs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a new folder as a root.
func open(t testing.TB, dir string, opts ...rootfs.Option) *rootfs.Root {
	t.Helper()
	r, err := rootfs.Open(dir, opts...)
	must(t, err)
	t.Cleanup(r.Close)

	return r
}

// TestCauses opens names of every kind and checks the cause of each error.
func TestCauses(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "sub", "deeper"), 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("hello"), 0o600))
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")))
	must(t, os.Symlink(outside, filepath.Join(dir, "away")))
	must(t, os.Symlink("sub", filepath.Join(dir, "inside")))
	r := open(t, dir)

	for _, c := range []struct {
		name string
		want rootfs.Cause
	}{
		{"sub/file", rootfs.None},
		{"nothing", rootfs.Missing},
		{"sub/nothing", rootfs.Missing},
		{"nothing/file", rootfs.Missing},
		{"sub/file/below", rootfs.Missing},
		{strings.Repeat("n", 300), rootfs.Missing},
		{"", rootfs.Missing},
		{"sub//file", rootfs.Missing},
		{"./sub/file", rootfs.Missing},
		{"sub/\x00", rootfs.Missing},
		{"link", rootfs.Outside},
		{"away/secret", rootfs.Outside},
		{"inside/file", rootfs.Outside},
		{"..", rootfs.Outside},
		{"../" + filepath.Base(outside) + "/secret", rootfs.Outside},
		{"sub/../../secret", rootfs.Outside},
		{"sub", rootfs.Special},
		{"sub/deeper", rootfs.Special},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := r.Open(c.name)
			if got := rootfs.CauseOf(err); got != c.want {
				t.Errorf("cause %d, want %d: %v", got, c.want, err)
			}
			if err == nil {
				f.Close()
			}
		})
	}

	for name, do := range map[string]func() error{
		"sub":   func() error { _, err := r.Sub("inside"); return err },
		"check": func() error { return r.CheckDir("inside") },
		"list":  func() error { return list(r, "inside") },
	} {
		if err := do(); rootfs.CauseOf(err) != rootfs.Outside {
			t.Errorf("%s of a folder that is a link: %v", name, err)
		}
	}
	if _, err := rootfs.Open(filepath.Join(dir, "no-root")); rootfs.CauseOf(err) != rootfs.NoRoot {
		t.Errorf("a root that does not exist: %v", err)
	}
	if got := rootfs.CauseOf(io.ErrUnexpectedEOF); got != rootfs.Fault {
		t.Errorf("an error of reading: %d", got)
	}
}

// list reads a folder.
func list(r *rootfs.Root, rel string) error {
	for _, err := range r.Entries(rel) {
		if err != nil {
			return err
		}
	}

	return nil
}

// TestLinksAreNotFollowed tries every operation through a link to a folder outside. Each must fail,
// and leave the outside unchanged.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "there"), []byte("as it was"), 0o640))
	must(t, os.Mkdir(filepath.Join(outside, "folder"), 0o750))
	must(t, os.WriteFile(filepath.Join(dir, "mine"), []byte("mine"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "away")))
	r := open(t, dir)

	for name, do := range map[string]func() error{
		"open":      func() error { _, err := r.Open("away/there"); return err },
		"open file": func() error { _, err := r.OpenFile("away/new", os.O_RDWR|os.O_CREATE, 0o600); return err },
		"truncate":  func() error { _, err := r.OpenFile("away/there", os.O_RDWR|os.O_TRUNC, 0); return err },
		"create":    func() error { _, err := r.Create("away/new"); return err },
		"write":     func() error { return r.WriteFile("away/there", []byte("x"), rootfs.Write{}) },
		"read":      func() error { _, err := r.ReadFile("away/there", 100); return err },
		"open dir":  func() error { return list(r, "away") },
		"check dir": func() error { return r.CheckDir("away/folder") },
		"sub":       func() error { _, err := r.Sub("away"); return err },
		"keep":      func() error { return r.KeepOpen("away") },
		"lstat":     func() error { _, err := r.Lstat("away/there"); return err },
		"move in":   func() error { return rootfs.Move(r, "away/there", r, "stolen") },
		"move out":  func() error { return rootfs.Move(r, "mine", r, "away/mine") },
		"replace":   func() error { return r.Replace("mine", "away/there") },
		"mkdir":     func() error { return r.Mkdir("away/new", 0o700) },
		"mkdir all": func() error { return r.MkdirAll("away/a/b", 0o700) },
		"remove":    func() error { return r.Remove("away/there") },
		"chmod":     func() error { return r.ChmodDir("away/folder", 0o777) },
		"sync":      func() error { return r.SyncDir("away") },
	} {
		if err := do(); err == nil {
			t.Errorf("%s: followed the link", name)
		}
	}

	entries, err := os.ReadDir(outside)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("the outside folder contains %v", entries)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "there")); err != nil || string(b) != "as it was" {
		t.Errorf("the file outside: %q, %v", b, err)
	}
}

// TestMoveNeverReplaces moves onto names that are taken.
func TestMoveNeverReplaces(t *testing.T) {
	t.Parallel()
	a, b := open(t, t.TempDir()), open(t, t.TempDir())
	must(t, a.WriteFile("file", []byte("a"), rootfs.Write{}))
	must(t, b.WriteFile("file", []byte("b"), rootfs.Write{}))

	if err := rootfs.Move(a, "file", b, "file"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a name that is taken: %v", err)
	}
	if got, err := b.ReadFile("file", 10); err != nil || string(got) != "b" {
		t.Errorf("the target holds %q, %v", got, err)
	}
	must(t, rootfs.Move(a, "file", b, "other"))
	if _, err := a.Lstat("file"); !rootfs.IsGone(err) {
		t.Errorf("the moved file is still there: %v", err)
	}
	must(t, b.Replace("other", "file"))
	if got, err := b.ReadFile("file", 10); err != nil || string(got) != "a" {
		t.Errorf("the replaced file holds %q, %v", got, err)
	}
}

// TestWriteFile writes new files and replaces existing ones.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "token")
	must(t, rootfs.WriteFile(name, []byte("first"), rootfs.Write{}))
	must(t, rootfs.WriteFile(name, []byte("second"), rootfs.Write{}))
	if err := rootfs.WriteFile(name, []byte("third"), rootfs.Write{NoReplace: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is to be kept: %v", err)
	}

	r := open(t, dir)
	got, err := r.ReadFile("token", 100)
	if err != nil || string(got) != "second" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := r.ReadFile("token", 5); err == nil {
		t.Error("a file over the limit was read")
	}
	st, err := r.Lstat("token")
	if err != nil || st.Perm&0o077 != 0 {
		t.Errorf("permissions %v, %v", st.Perm, err)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestRootStaysTheSame renames the open folder, and creates another one with its name.
func TestRootStaysTheSame(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	r := open(t, dir)
	sub, err := r.Sub("sub")
	must(t, err)
	defer sub.Close()
	if err := os.Rename(dir, dir+".old"); err != nil {
		needs.CannotRun(t, "a folder that is open cannot be renamed here: %v", err)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))

	must(t, sub.WriteFile("file", []byte("x"), rootfs.Write{}))
	if _, err := os.Stat(filepath.Join(dir+".old", "sub", "file")); err != nil {
		t.Error(err)
	}
}
