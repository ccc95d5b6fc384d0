package spool_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"backburn/internal/rootfs"
	"backburn/internal/testkit/needs"
	"backburn/pipeline/watch/ledger"
	"backburn/pipeline/watch/spool"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open creates a spool in a new folder.
func open(t testing.TB) (dir string, s *spool.Spool) {
	t.Helper()
	dir = t.TempDir()
	root, err := rootfs.Open(dir)
	must(t, err)
	t.Cleanup(root.Close)
	s, err = spool.Open(root)
	must(t, err)
	t.Cleanup(s.Close)

	return dir, s
}

func newID() string { return spool.NewID(time.Now(), spool.RootTag) }

func TestFilesAreFoundInTheSpool(t *testing.T) {
	t.Parallel()
	dir, s := open(t)
	old, failed := spool.NewID(time.Now().Add(-time.Hour), spool.RootTag), newID()
	must(t, s.MkdirAll(spool.Done+"/benign", 0o700))
	must(t, s.MkdirAll(spool.Failed, 0o700))
	must(t, s.Write(spool.Done+"/benign/"+old+"-a.exe", []byte("old"), false))
	must(t, s.Write(spool.Failed+"/"+failed+"-a.exe", []byte("failed"), false))
	must(t, s.Write(spool.Failed+"/"+failed+"-a.exe.json", []byte("{}"), false))

	if id, err := spool.NewestJob(dir, "a.exe"); id != failed || err != nil {
		t.Errorf("newest: %q, %v", id, err)
	}
	if id, err := spool.NewestJob(dir, "b.exe"); id != "" || err != nil {
		t.Errorf("newest of nothing: %q, %v", id, err)
	}
	if id, ok := spool.JobIDOf(dir, filepath.Join(dir, spool.Dir, spool.Claimed, failed+"-x")); !ok || id != failed {
		t.Errorf("owner: %q, %v", id, ok)
	}
	if _, ok := spool.JobIDOf(dir, filepath.Join(dir, failed+"-x")); ok {
		t.Error("a file outside the spool has an owner")
	}
	for _, likely := range []string{"", spool.JobPath(failed + "-a.exe"), "../../etc/passwd"} {
		f, err := spool.OpenFailed(dir, failed, likely)
		must(t, err)
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil || string(b) != "failed" {
			t.Errorf("%q: %q, %v", likely, b, err)
		}
	}
	if _, err := spool.OpenFailed(dir, newID(), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if _, err := spool.OpenFailed(t.TempDir(), failed, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without a spool: %v", err)
	}
}

// TestReplacedSpool replaces the spool with a link to another folder while it is open. The open
// spool still writes to the original folder, and nothing appears in the other one.
func TestReplacedSpool(t *testing.T) {
	t.Parallel()
	dir, s := open(t)
	outside := t.TempDir()
	moved := filepath.Join(t.TempDir(), "moved")
	must(t, os.Rename(filepath.Join(dir, spool.Dir), moved))
	if err := os.Symlink(outside, filepath.Join(dir, spool.Dir)); err != nil {
		needs.CannotRun(t, "links cannot be made here: %v", err)
	}

	must(t, s.Write("file", []byte("x"), false))
	must(t, s.MkdirAll(spool.Done+"/benign", 0o700))
	l, err := ledger.Open(s.Root)
	must(t, err)
	_, err = l.MarkPublished(rootfs.Identity{Ino: 1}, ledger.Record{ID: newID()}, time.Now())
	must(t, err)
	l.Close()
	for _, name := range []string{"file", "ledger.db"} {
		if _, err := os.Stat(filepath.Join(moved, name)); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(outside)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("the other folder contains %v", entries)
	}

	root, err := rootfs.Open(dir)
	must(t, err)
	defer root.Close()
	if _, err := spool.Open(root); !errors.Is(err, spool.ErrUnusable) {
		t.Errorf("a spool that is a link: %v", err)
	}
	if _, err := spool.NewestJob(dir, "file"); err == nil {
		t.Error("a spool that is a link was read")
	}
}
