package watch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"backburn/pipeline/watch"
)

// size returns the value of an environment variable, or its default size for CI.
func size(t testing.TB, name string, ci int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return ci
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// crashSpec returns the configuration of watchers that are killed.
func crashSpec(t testing.TB, change func(*watch.Config)) childSpec {
	cfg := watch.DefaultConfig()
	cfg.Path, cfg.Source = t.TempDir(), "crash"
	cfg.Settle, cfg.Scan = 5*time.Millisecond, 200*time.Millisecond
	cfg.MinFree = 0
	// Keep the number small: after each start the files in flight are published again, and a
	// watcher that dies often would do nothing else.
	cfg.MaxInFlight = 8
	if change != nil {
		change(&cfg)
	}
	return childSpec{Config: cfg, State: t.TempDir(), Verdict: "benign"}
}

// produce writes files 0 to n-1 in different ways into several folders. Their contents contain
// their number. It returns when all files are complete.
func produce(t testing.TB, dir string, n int) {
	t.Helper()
	staging := t.TempDir()
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%7))
		if i%7 == 0 {
			sub = dir
		}
		name := filepath.Join(sub, fmt.Sprintf("f%06d", i))
		content := producedContent(i)
		err := os.MkdirAll(sub, 0o777)
		if err == nil {
			switch i % 3 {
			case 0: // under a temporary name first
				tmp := filepath.Join(sub, fmt.Sprintf(".f%06d.tmp", i))
				if err = os.WriteFile(tmp, content, 0o666); err == nil {
					err = os.Rename(tmp, name)
				}
			case 1: // written elsewhere and renamed
				tmp := filepath.Join(staging, "x")
				if err = os.WriteFile(tmp, content, 0o666); err == nil {
					err = os.Rename(tmp, name)
				}
			case 2: // in pieces, without closing it
				var f *os.File
				if f, err = os.Create(name); err == nil {
					_, err = f.Write(content[:len(content)/2])
					if i%30 == 2 {
						time.Sleep(10 * time.Millisecond) // longer than the settle time
					}
					if err == nil {
						_, err = f.Write(content[len(content)/2:])
					}
					f.Close()
				}
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func producedContent(i int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%08d", i), 1+i%200))
}

// verify checks that each of n files arrived exactly once and completely: none lost, none with two
// job IDs, none with wrong contents.
func verify(t testing.TB, spec childSpec, n int) (published int) {
	t.Helper()
	byHash := map[string]int{}
	for i := range n {
		h := sha256.Sum256(producedContent(i))
		byHash[hex.EncodeToString(h[:])] = i
	}
	lines, err := readLines(filepath.Join(spec.State, "jobs"), 0)
	if err != nil {
		t.Fatal(err)
	}
	ids, seen := map[string]int{}, map[int]string{}
	wrong, duplicates := 0, 0
	for _, l := range lines {
		i, ok := byHash[l.line.Job.SHA256]
		if !ok {
			wrong++
			continue
		}
		ids[l.line.ID]++
		if id, again := seen[i]; again && id != l.line.ID {
			duplicates++
		}
		seen[i] = l.line.ID
		if want := fmt.Sprintf("f%06d", i); filepath.Base(l.line.Job.Path) != want || l.line.Job.Filename != want {
			t.Errorf("job of %s has the path %q and the file name %q", want, l.line.Job.Path, l.line.Job.Filename)
		}
		if sub := filepath.Dir(l.line.Job.Path); i%7 != 0 && sub != fmt.Sprintf("d%d", i%7) {
			t.Errorf("job of file %d has the folder %q", i, sub)
		}
	}
	if lost := n - len(seen); lost != 0 || duplicates != 0 || wrong != 0 {
		t.Errorf("lost %d, submitted twice %d, wrong contents %d of %d", lost, duplicates, wrong, n)
	}
	t.Logf("%d files, %d publications, %d ids", n, len(lines), len(ids))
	return len(lines)
}

// verifyDone checks that every file is in done with its contents, and that nothing else is left.
func verifyDone(t testing.TB, spec childSpec, n int) {
	t.Helper()
	done := filepath.Join(spec.Config.Path, ".backburn", "done", "benign")
	entries, err := os.ReadDir(done)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != n {
		t.Errorf("%d files are done, want %d", len(entries), n)
	}
	for _, e := range entries {
		_, name, _ := strings.Cut(e.Name(), "-f")
		i, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(done, e.Name()))
		if err != nil || string(b) != string(producedContent(i)) {
			t.Errorf("%s does not have its contents: %v", e.Name(), err)
		}
	}
	left, err := os.ReadDir(filepath.Join(spec.Config.Path, ".backburn", "claimed"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left in claimed: %v", len(left), err)
	}
}

// allFinished reports whether the jobs of all n files have been finished.
func allFinished(spec childSpec, n int) bool {
	b, err := os.ReadFile(filepath.Join(spec.State, "cursor"))
	if err != nil {
		return false
	}
	offset, _ := strconv.ParseInt(string(b), 10, 64)
	st, err := os.Stat(filepath.Join(spec.State, "jobs"))
	if err != nil || st.Size() != offset {
		return false
	}
	lines, err := readLines(filepath.Join(spec.State, "jobs"), 0)
	if err != nil {
		return false
	}
	ids := map[string]bool{}
	for _, l := range lines {
		ids[l.line.ID] = true
	}
	return len(ids) >= n
}

// TestCrashAtEveryStep kills the watcher with a probability of 2 % at each step of each file, and
// restarts it until all files are done. BACKBURN_CRASH_FILES sets the number of files.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	n := size(t, "BACKBURN_CRASH_FILES", 2000)
	spec := crashSpec(t, nil)
	produce(t, spec.Config.Path, n)
	spec.KillProbability = 0.02
	starts := killUntilDone(t, spec, n)
	t.Logf("%d starts", starts)
	verify(t, spec, n)
	verifyDone(t, spec, n)
}

// TestChaos kills the watcher at random times while producers are writing. BACKBURN_CHAOS_FILES
// sets the number of files.
func TestChaos(t *testing.T) {
	t.Parallel()
	n := size(t, "BACKBURN_CHAOS_FILES", 1000)
	spec := crashSpec(t, nil)
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		produce(t, spec.Config.Path, n)
	}()
	starts := 0
	for running := true; running; starts++ {
		c := startChild(t, spec)
		select {
		case <-c.ended:
			t.Fatalf("the watcher stopped unexpectedly: %v %s", c.err, c.stderr.String())
		case <-time.After(time.Duration(30+rand.IntN(250)) * time.Millisecond):
		}
		c.kill()
		select {
		case <-produced:
			running = false
		default:
		}
	}
	c := startChild(t, spec)
	waitFor(t, "the remaining files to be finished", func() bool { return allFinished(spec, n) })
	c.stop(t)
	t.Logf("%d starts", starts+1)
	verify(t, spec, n)
	verifyDone(t, spec, n)
}

// killUntilDone starts watchers that are killed at each step with the probability spec.Die, until
// all n files are done. It returns how many watchers that took.
func killUntilDone(t testing.TB, spec childSpec, n int) (starts int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Minute); !allFinished(spec, n); starts++ {
		if time.Now().After(deadline) {
			t.Fatal("not done in time")
		}
		c := startChild(t, spec)
		for alive := true; alive && !allFinished(spec, n); {
			select {
			case <-c.ended:
				alive = false
			case <-time.After(50 * time.Millisecond):
			}
		}
		c.kill()
	}
	return starts
}

// TestCrashInOtherModes is TestCrashAtEveryStep for files that stay in place, are restored, or are
// moved to the same or another file system.
func TestCrashInOtherModes(t *testing.T) {
	t.Parallel()
	n := size(t, "BACKBURN_CRASH_FILES", 2000) / 20
	for name, change := range map[string]func(*watch.Config){
		"stay":    func(c *watch.Config) { c.Claim = watch.ClaimKeep },
		"restore": func(c *watch.Config) { c.After.Benign = watch.AfterRestore },
		"move":    func(c *watch.Config) { c.After.Benign = t.TempDir() + "/archive" },
		"move with sidecar": func(c *watch.Config) {
			c.After.Benign, c.Sidecar = t.TempDir()+"/archive", true
		},
		"move to another file system": func(c *watch.Config) {
			dir, err := os.MkdirTemp("/dev/shm", "backburn-test-")
			if err != nil {
				dir = t.TempDir() // only Linux has another file system here
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			c.After.Benign = dir + "/archive"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := crashSpec(t, change)
			produce(t, spec.Config.Path, n)
			spec.KillProbability = 0.02
			t.Logf("%d starts", killUntilDone(t, spec, n))
			verify(t, spec, n)
			for i := range n {
				where := filepath.Join(spec.Config.Path, fmt.Sprintf("d%d", i%7))
				if i%7 == 0 {
					where = spec.Config.Path
				}
				if spec.Config.After.Benign != watch.AfterKeep && spec.Config.After.Benign != watch.AfterRestore {
					where = spec.Config.After.Benign
				}
				b, err := os.ReadFile(filepath.Join(where, fmt.Sprintf("f%06d", i)))
				if err != nil || string(b) != string(producedContent(i)) {
					t.Errorf("file %d is missing or changed: %v", i, err)
				}
			}
			entries, err := os.ReadDir(spec.Config.After.Benign)
			entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
				return strings.HasPrefix(e.Name(), ".backburn-") // an unfinished copy, left for the janitor
			})
			want := n
			if spec.Config.Sidecar {
				want = 2 * n
			}
			if err == nil && len(entries) != want {
				t.Errorf("%d files were moved, want %d", len(entries), want)
			}
		})
	}
}
