package sink_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backburn/internal/rootfs"
	"backburn/internal/sink"
	"backburn/internal/testkit/needs"
)

// This test runs the real logrotate, with the configuration of the examples, and with copytruncate.
func TestFileUnderLogrotate(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "logrotate", "logrotate")
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "logrotate", "backburn"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"as in the example": {"", ""},
		"copytruncate":      {"create 0640", "copytruncate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, path := newArchive(t, func(c *sink.Config) { c.Mode = "0640" })
			dir := filepath.Dir(path)
			text := strings.Replace(string(example), "/var/log/backburn/events.jsonl", path, 1)
			if change[0] != "" {
				text = strings.Replace(text, change[0], change[1], 1)
			}
			if !strings.Contains(text, path) || !strings.Contains(text, change[1]) {
				t.Fatalf("the example does not have the expected configuration:\n%s", text)
			}
			conf := filepath.Join(t.TempDir(), "conf")
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			rotate := func() {
				cmd := exec.CommandContext(t.Context(), "logrotate", "--force", "--state", filepath.Join(dir, "state"), conf)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("logrotate: %v\n%s", err, out)
				}
			}
			send(t, f, "one", "two")
			rotate()
			send(t, f, "three")
			wantJobsInFile(t, path, "three")
			wantJobsInFile(t, path+".1", "one", "two")
			rotate()
			send(t, f, "four")
			wantJobsInFile(t, path, "four")
			wantJobsInFile(t, path+".1", "three")
			out, err := exec.CommandContext(t.Context(), "gzip", "-dc", path+".2.gz").Output()
			if err != nil || strings.Count(string(out), "\n") != 2 {
				t.Errorf("the compressed file: %v\n%s", err, out)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v %v", info, err)
			}
		})
	}
}

// When the disk is full, no partial line remains, the sink waits and reports it, and nothing is
// lost.
func TestFileOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	needs.Tmpfs(t, dir, "mode=0700,size=256k")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}

	js := stream(t)
	path := filepath.Join(dir, "events.jsonl")
	cfg := shortDelays(t)
	cfg.Kind, cfg.DeadFile = "file", ""
	r := start(t, js, cfg, newFile(t, sink.Config{Path: path, Mode: "0600"}))
	const n = 300 // about 100 KiB
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint("job-", i))
	}
	publish(t, js, want...)
	waitFor(t, "the state says that the disk is full", func() bool {
		s := r.Status()
		return s.State == sink.StateRetrying && strings.Contains(s.Cause, "no space left") && s.Remedy == "free some disk space" && s.Attempts > 3
	})
	if got := completeJobsInFile(t, path); len(got) == 0 || len(got) >= n {
		t.Errorf("%d lines on the full disk", len(got))
	}
	if warned := r.logs.count(`"level":"warn"`); warned != 1 {
		t.Errorf("%d warnings", warned)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all events are written", func() bool { return len(completeJobsInFile(t, path)) == n })
	if got := jobsInFile(t, path); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// Another user, who may write to the file's folder, replaces the file with a link. Nothing is
// written to the link's target, and the event is delivered once the link is gone.
func TestFileReplacedByALinkOfAnotherUser(t *testing.T) {
	t.Parallel()
	needs.Root(t, "a link of another user")
	f, path := newArchive(t, nil)
	send(t, f, "1")
	target := filepath.Join(t.TempDir(), "target")
	for _, err := range []error{
		os.WriteFile(target, nil, 0o600), os.Remove(path), os.Symlink(target, path), os.Lchown(path, 65534, 65534),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Send(t.Context(), message(t, event("2"))); !errors.Is(err, rootfs.ErrForeignLink) {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(target); err != nil || len(b) > 0 {
		t.Errorf("the target has %q (%v)", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	send(t, f, "2")
	if got := jobsInFile(t, path); len(got) != 1 {
		t.Errorf("jobs %v", got)
	}
}
