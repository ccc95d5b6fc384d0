package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

const operateDoc = "../../docs/operate.md"

// A backup with work in progress is restored on another machine, where every file gets its event.
func TestBackupIsRestoredElsewhere(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "tar", "tar")
	s := testkit.NewSite(t, wildfiretest.WithDelay(300*time.Millisecond))
	machine := func(name string) (root, folder string) {
		root = s.Path(name)
		return root, filepath.Join(root, "srv", "upload")
	}
	run := func(root, word string) {
		t.Helper()
		args := testkit.Command(t, operateDoc, word)
		for i, a := range args {
			switch {
			case a == "/":
				args[i] = root
			case strings.HasPrefix(a, "/root/"):
				args[i] = filepath.Join(s.Dir, a)
			case strings.HasPrefix(a, "/"):
				args[i] = filepath.Join(root, a)
			}
		}

		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	start := func(name string) *testkit.Process {
		t.Helper()
		root, folder := machine(name)
		for _, dir := range []string{folder, filepath.Join(root, "etc/backburn"), filepath.Join(root, "var/lib/backburn"), s.Path("root")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}

		s.Watch(folder)
		s.Configure(testkit.Settings{"nats.embedded.store_dir": filepath.Join(root, "var/lib/backburn/nats"), "watch.source": "upload"})
		p := s.Start("backburn", "run")
		p.Logged("ready")

		return p
	}

	files := testkit.Mixed(60, rand.New(rand.NewPCG(4, 2)))
	p := start("old")
	s.Drop(files[:40]...)
	s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 10 })
	p.Stop()
	oldRoot, oldFolder := machine("old")
	run(oldRoot, "tar -C / -czf")

	newRoot, newFolder := machine("new")
	if err := os.MkdirAll(filepath.Join(newRoot, "var/lib/backburn/nats/stale"), 0o700); err != nil {
		t.Fatal(err)
	}

	run(newRoot, "rm")
	run(newRoot, "tar -C / -xpzf")
	if err := os.MkdirAll(filepath.Dir(newFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", oldFolder, newFolder).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}

	p = start("new")
	s.Drop(files[40:]...)
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	p.Stop()
}

// buildPreviousVersion builds backburn from the last release or, without a release, from the
// previous commit.
func buildPreviousVersion(t *testing.T) string {
	t.Helper()
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", "../.."}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD~1")
	if err != nil {
		commit, err = git("rev-parse", "HEAD~1")
	}
	if err != nil {
		needs.CannotRun(t, "without git history there is no earlier version to run")
	}

	dir := t.TempDir()
	script := `git -C ../.. archive "$1" | tar -x -C "$2" && cd "$2" && GOFLAGS=-buildvcs=false go build -o before ./cmd/backburn`
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", commit, dir).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}

	return filepath.Join(dir, "before")
}

// Adjacent versions work together in one fleet, in any order, and nothing is lost or uploaded
// twice.
func TestMixedVersions(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "git tar", "git", "tar")
	before := buildPreviousVersion(t)
	ns := testkit.StartNATS(t, &server.Options{StoreDir: t.TempDir(), SyncAlways: true})
	s := testkit.NewSite(t, wildfiretest.WithDelay(200*time.Millisecond))
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false})
	start := func(program, role string) *testkit.Process {
		t.Helper()
		p := s.Start(program, role)
		p.Logged("ready")

		return p
	}

	const each = 20
	files := testkit.Mixed(5*each, rand.New(rand.NewPCG(2, 0)))
	drop := func(part int) {
		t.Helper()
		s.Drop(files[part*each : (part+1)*each]...)
		s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 8*part })
	}

	watcher, worker := start(before, "watcher"), start(before, "worker")
	drop(0)
	newer := start("backburn", "worker") // in addition to the old one
	drop(1)
	worker.Stop()
	drop(2)
	watcher.Stop()
	watcher = start("backburn", "watcher")
	drop(3)
	worker = start(before, "worker") // the old one comes back
	newer.Stop()
	drop(4)

	testkit.OneEach(t, files, testkit.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	worker.Stop()
	watcher.Stop()
}
