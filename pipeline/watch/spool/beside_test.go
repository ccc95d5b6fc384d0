package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/spool"
)

// A description stays while its file is claimed. For a file that may be about to be claimed, it
// stays for a while.
func TestBeside(t *testing.T) {
	t.Parallel()
	dir, s := open(t)
	root, err := rootfs.Open(dir)
	must(t, err)
	defer root.Close()
	claimed := spool.NewID(time.Now().Add(-2*spool.LeftoverAge), spool.RootTag)
	leftover := spool.NewID(time.Now().Add(-2*spool.LeftoverAge), spool.RootTag)
	young := newID()
	must(t, s.Sweep(func(string) bool { return false })) // the spool is still empty
	must(t, s.RemoveDescription(leftover))
	for _, id := range []string{claimed, leftover, young} {
		must(t, os.WriteFile(filepath.Join(dir, "a.json"), []byte(id), 0o600))
		must(t, s.TakeDescription(root, "a.json", id))
	}
	must(t, os.WriteFile(filepath.Join(dir, "a.json"), nil, 0o600))
	if err := s.TakeDescription(root, "a.json", claimed); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
	must(t, s.Write(spool.Claimed+"/"+claimed+"-a", nil, false))

	must(t, s.Sweep(func(string) bool { return false }))
	for id, want := range map[string]bool{claimed: true, leftover: false, young: true} {
		if _, err := s.Lstat(spool.Beside + "/" + id); (err == nil) != want {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}

	renewed := newID()
	_, err = s.ChangeID(claimed+"-a", claimed, renewed, "a")
	must(t, err)
	if _, err := s.Lstat(spool.Beside + "/" + renewed); err != nil {
		t.Error(err)
	}
	must(t, s.RemoveDescription(renewed))
}

// TestChangeIDThatFails checks that a file which cannot get a new ID keeps its description.
func TestChangeIDThatFails(t *testing.T) {
	t.Parallel()
	dir, s := open(t)
	root, err := rootfs.Open(dir)
	must(t, err)
	defer root.Close()
	for _, name := range []string{"a", "~hashed"} {
		id, taken := newID(), newID()
		must(t, os.WriteFile(filepath.Join(dir, "a.json"), nil, 0o600))
		must(t, s.TakeDescription(root, "a.json", id))
		must(t, s.Write(spool.Claimed+"/"+id+"-"+name, nil, false))
		must(t, s.Write(spool.Claimed+"/"+taken+"-"+name, nil, false))

		if _, err := s.ChangeID(id+"-"+name, id, taken, "a"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: ChangeID returned %v", name, err)
		}
		if _, err := s.Lstat(spool.Beside + "/" + id); err != nil {
			t.Errorf("%s: the description: %v", name, err)
		}
		if _, err := s.Lstat("paths/" + taken); !rootfs.IsGone(err) {
			t.Errorf("%s: the record of the path: %v", name, err)
		}
	}
}

// The recorded path of a file stays while the file is claimed, and goes if a crash left it behind.
func TestSweepRecordedPaths(t *testing.T) {
	t.Parallel()
	dir, s := open(t)
	root, err := rootfs.Open(dir)
	must(t, err)
	defer root.Close()
	old := func() string { return spool.NewID(time.Now().Add(-2*spool.LeftoverAge), spool.RootTag) }
	claimed, leftover := old(), old()
	young := newID()
	for _, id := range []string{claimed, leftover, young} {
		must(t, os.WriteFile(filepath.Join(dir, "~a"), nil, 0o600))
		name, err := s.Claim(root, "~a", id)
		must(t, err)
		if id != claimed {
			must(t, s.Remove(spool.Claimed+"/"+name))
		}
	}

	must(t, s.Sweep(func(string) bool { return false }))
	for id, want := range map[string]bool{claimed: true, leftover: false, young: true} {
		if _, err := s.Lstat("paths/" + id); (err == nil) != want {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
}
