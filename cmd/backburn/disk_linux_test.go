package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

func TestSpoolOnAnotherMount(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	needs.Tmpfs(t, s.Path("quarantine", ".backburn"), "mode=0700,size=1m")
	file := testkit.File{Name: "sample.bin", Body: []byte("must not be lost")}
	s.Drop(file)
	p := s.Start("backburn", "run")
	testkit.Fails(t, p, 2, "is on another mount than the folder, and files cannot be claimed by renaming them; unmount it")
	if len(s.Left()) != 1 {
		t.Errorf("left: %q, want the file", s.Left())
	}
}

func TestStoreOnFullDisk(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	needs.Tmpfs(t, s.Path("small"), "mode=0700,size=64m")
	s.Configure(testkit.Settings{"nats.embedded.store_dir": s.Path("small", "nats")})
	p := s.Start("backburn", "run")
	testkit.Fails(t, p, 4, "the disk is full")
	if !strings.Contains(p.Stderr(), "free disk space, or set nats.embedded.store_dir to another disk") {
		t.Errorf("the reason is %q, without a remedy", p.Stderr())
	}
}

// The defaults reserve more than the size of a small disk, and still work there.
func TestStoreOnSmallDisk(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	needs.Tmpfs(t, s.Path("small"), "mode=0700,size=1g")
	s.Configure(testkit.Settings{"nats.embedded.store_dir": s.Path("small", "nats"), "results.max_bytes": nil})
	files := testkit.Mixed(3, rand.New(rand.NewPCG(8, 8)))
	p := s.Start("backburn", "run")
	s.Drop(files...)
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	p.Stop()
}

// In a folder on a nearly full disk nothing is claimed. Once there is space, everything is.
func TestFolderOnNearlyFullDisk(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	needs.Tmpfs(t, s.Path("small"), "mode=0700,size=8m")
	quarantine := s.Path("small", "quarantine")
	if err := os.Mkdir(quarantine, 0o755); err != nil {
		t.Fatal(err)
	}

	s.Watch(quarantine)
	s.Configure(testkit.Settings{"watch.min_free": "2MiB"})
	files := testkit.Mixed(5, rand.New(rand.NewPCG(9, 9)))
	ballast := filepath.Join(s.Path("small"), "ballast")
	if err := os.WriteFile(ballast, make([]byte, 7<<20), 0o600); err != nil {
		t.Fatal(err)
	}

	p := s.Start("backburn", "run")
	p.Logged("part is failed")
	s.Drop(files...)
	p.Until("/readyz", func(status int, body string) bool { return status == 503 && strings.Contains(body, "min_free") })
	if left := s.Left(); len(left) != len(files) {
		t.Errorf("%d files are left, want all %d", len(left), len(files))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}

	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	p.Stop()
}
