package watch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

func TestSeveralWatchersOnOneFolder(t *testing.T) {
	t.Parallel()
	const n = 600
	r := newRig(t, func(c *watch.Config) { c.MaxInFlight = n })
	var stops []func()
	for range 3 {
		r.outcomes = newOutcomes()
		r.start()
		stops = append(stops, r.stop)
	}
	for i := range n {
		r.write(fmt.Sprintf("d%d/f%d", i%3, i), fmt.Sprint(i))
	}
	seen := map[string]int{}
	for _, j := range r.intake.wait(t, n) {
		seen[j.Path]++
	}
	waitFor(t, "scans", afterScans(r, 2))
	if got := len(r.intake.all()); got != n || len(seen) != n {
		t.Errorf("%d jobs of %d files, want %d", got, len(seen), n)
	}
	for _, stop := range stops {
		stop()
	}
	// Each watcher receives the events of all files, including those that others claimed.
	r.outcomes = newOutcomes()
	r.start()
	other := *r
	other.outcomes = newOutcomes()
	other.start()
	for _, j := range r.intake.all() {
		r.outcomes.send(verdict(j, "malware"))
		other.outcomes.send(verdict(j, "malware"))
	}
	r.outcomes.waitHandled(t)
	other.outcomes.waitHandled(t)
	if got := len(r.tree(".backburn/done/malware")); got != n {
		t.Errorf("%d files are done, want %d", got, n)
	}
}

func TestSeveralFoldersShareARegistry(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	for _, source := range []string{"a", "b", "a"} {
		cfg := watch.DefaultConfig()
		cfg.Path, cfg.Source = t.TempDir(), source
		if _, err := watch.New(cfg, newIntake(), newOutcomes(), nil, watch.WithMetrics(reg)); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	zero := map[string]int{}
	for _, f := range families {
		zero[f.GetName()] = len(f.GetMetric())
	}
	for name, want := range map[string]int{"backburn_watch_claimed_total": 2, "backburn_watch_deferred_total": 18, "backburn_watch_skipped_total": 8} {
		if zero[name] != want {
			t.Errorf("%s has %d series at zero, want %d", name, zero[name], want)
		}
	}
}

func TestNameIsReused(t *testing.T) {
	t.Parallel()
	const n = 1000
	r := newRig(t, func(c *watch.Config) { c.Settle, c.MaxInFlight = 0, 2*n })
	r.start()
	staging := t.TempDir()
	for i := range n {
		tmp := filepath.Join(staging, "x")
		if err := os.WriteFile(tmp, fmt.Append(nil, i), 0o666); err != nil {
			t.Fatal(err)
		}
		// Wait until the name is free, and reuse it at once.
		for err := fs.ErrExist; err != nil; {
			if err = os.Link(tmp, r.path("same")); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
		if err := os.Remove(tmp); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, j := range r.intake.wait(t, n) {
		seen[j.SHA256]++
	}
	for i := range n {
		if seen[sum(fmt.Sprint(i))] != 1 {
			t.Errorf("version %d was taken %d times", i, seen[sum(fmt.Sprint(i))])
		}
	}
}

func TestSameContentsUnderManyNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.start()
	for i := range 100 {
		r.write(fmt.Sprint(i), "same")
	}
	ids := map[string]bool{}
	for _, j := range r.intake.wait(t, 100) {
		ids[j.ID] = true
	}
	if len(ids) != 100 {
		t.Errorf("%d ids", len(ids))
	}
}

// TestFilesRenamedWhileScanned renames files in place during scans.
func TestFilesRenamedWhileScanned(t *testing.T) {
	t.Parallel()
	const n = 3000
	r := newRig(t, func(c *watch.Config) {
		c.Watch = watch.WatchPoll
		c.MaxInFlight = n
		c.Scan = 10 * time.Millisecond
	})
	for i := range n {
		r.write(fmt.Sprintf("%d.tmp", i), fmt.Sprint(i))
	}
	r.start()
	for i := range n {
		if err := os.Rename(r.path(fmt.Sprintf("%d.tmp", i)), r.path(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, j := range r.intake.wait(t, n) {
		seen[j.Filename] = true
	}
	if len(seen) != n {
		t.Errorf("%d files, want %d", len(seen), n)
	}
}

func TestTemporaryNamesAreDeferredAndExcludedOnesAreNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) {
		c.StaleAfter = 400 * time.Millisecond
		c.Exclude = []string{"*.log", "skip", "deep/*/x", "/top", "*/x"}
	})
	began := time.Now()
	temporary := []string{".hidden", "a.TMP", "a.part", ".dir/inside", "~$doc", "sedAbC123"}
	for _, name := range append(temporary, "now", "a.log", "skip/inside", "deep/1/x", "deep/1/2/x", "top/1/y", "1/x") {
		r.write(name, name)
	}
	r.start()
	jobs := r.intake.wait(t, 2)
	first := []string{jobs[0].Path, jobs[1].Path}
	slices.Sort(first)
	if !slices.Equal(first, []string{"deep/1/2/x", "now"}) {
		t.Errorf("these files were taken first: %v", first)
	}
	jobs = r.intake.wait(t, 2+len(temporary))
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("all were taken after %v", took)
	}
	for _, j := range jobs[2:] {
		if !slices.Contains(temporary, j.Path) {
			t.Errorf("%q was taken", j.Path)
		}
	}
	left := r.tree("")
	if len(left) != 5 {
		t.Errorf("left: %v", left)
	}
}

func TestDoneFile(t *testing.T) {
	t.Parallel()
	for setting, done := range map[string]string{"{name}.done": "a.bin.done", "{name.noext}.ready": "a.ready", "ok-{name}": "ok-a.bin", "complete": "complete"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.DoneFile = setting })
			r.write("sub/a.bin", "x")
			r.start()
			waitFor(t, "scans", afterScans(r, 5))
			if n := len(r.intake.all()); n != 0 {
				t.Fatalf("%d files were taken without a done file", n)
			}
			r.write("sub/"+done, "")
			if j := r.intake.wait(t, 1)[0]; j.Path != "sub/a.bin" {
				t.Errorf("taken: %q", j.Path)
			}
			waitFor(t, "scans", afterScans(r, 2))
			left := r.tree("")
			if setting == "complete" && len(left) != 1 || setting != "complete" && len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			if n := len(r.intake.all()); n != 1 {
				t.Errorf("%d jobs", n)
			}
		})
	}
}

// A done file stays a done file, however old it is: where files stay in place, and when the watcher
// was not running for a while.
func TestOldDoneFileIsNotTaken(t *testing.T) {
	t.Parallel()
	for setting, done := range map[string]string{"{name}.ready": "a.bin.ready", "{name.noext}.ready": "a.ready", "ready": "ready"} {
		for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
			t.Run(setting+", "+claim, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(c *watch.Config) {
					c.DoneFile, c.Claim = setting, claim
					c.StaleAfter = c.Settle
				})
				r.write("a.bin", "x")
				r.write(done, "a marker")
				r.start()
				r.intake.wait(t, 1)
				waitFor(t, "scans", afterScans(r, 4))
				if jobs := r.intake.all(); len(jobs) != 1 || jobs[0].Path != "a.bin" {
					t.Errorf("taken: %+v", jobs)
				}
			})
		}
	}
}

func TestOrphanedDoneFileIsTakenAsAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.DoneFile, c.StaleAfter = "{name}.done", 200*time.Millisecond })
	r.write("evil.exe.done", "not a marker")
	r.start()
	if j := r.intake.wait(t, 1)[0]; j.Filename != "evil.exe.done" {
		t.Errorf("taken: %q", j.Filename)
	}
}

func TestNoMoreThanMaxInFlight(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MaxInFlight = 5 })
	for i := range 40 {
		r.write(fmt.Sprint(i), fmt.Sprint(i))
	}
	r.start()
	r.intake.wait(t, 5)
	waitFor(t, "scans", afterScans(r, 2))
	if st := r.w.Status(); st.InFlight != 5 || st.Held == "" || st.Oldest.IsZero() {
		t.Errorf("status: %+v", st)
	}
	if n := len(r.tree(".backburn/claimed")); n != 5 {
		t.Errorf("%d files are claimed", n)
	}
	r.stop()
	r.start() // claimed files still count
	waitFor(t, "scans", afterScans(r, 2))
	if n := len(r.tree(".backburn/claimed")); n != 5 {
		t.Errorf("%d files are claimed after a restart", n)
	}
	for done := 0; done < 40; {
		for _, j := range r.intake.wait(t, done+1)[done:] {
			r.outcomes.send(verdict(j, "benign"))
			done++
		}
	}
	r.outcomes.waitHandled(t)
	if st := r.w.Status(); st.InFlight != 0 || st.Held != "" || st.Finished != 40 {
		t.Errorf("status: %+v", st)
	}
}

func TestQueueUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MaxInFlight = 10 })
	unavailable := true
	r.intake.setRefuse(func(pipeline.Job) error {
		if unavailable {
			return errors.New("no servers available")
		}
		return nil
	})
	r.start()
	for i := range 50 {
		r.write(fmt.Sprint(i), fmt.Sprint(i))
	}
	waitFor(t, "the fault to show", func() bool {
		st := r.w.Status()
		return st.State != watch.StateOK && strings.Contains(st.Reason, "no servers available") && st.InFlight == 10
	})
	if n := len(r.tree("")); n != 40 {
		t.Errorf("%d files wait in the folder, want 40", n)
	}
	r.intake.mu.Lock()
	unavailable = false
	r.intake.mu.Unlock()
	for done := 0; done < 50; {
		for _, j := range r.intake.wait(t, done+1)[done:] {
			r.outcomes.send(verdict(j, "benign"))
			done++
		}
	}
	waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
}

func TestOutcomesUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.outcomes.fail = errors.New("no consumer")
	r.start()
	r.write("a", "a")
	job := r.intake.wait(t, 1)[0]
	waitFor(t, "the fault to show", func() bool { return strings.Contains(r.w.Status().Reason, "no consumer") })
	r.outcomes.mu.Lock()
	r.outcomes.fail = nil
	r.outcomes.mu.Unlock()
	r.outcomes.send(verdict(job, "benign"))
	r.outcomes.waitHandled(t)
	waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
}

func TestAfterPolicies(t *testing.T) {
	t.Parallel()
	for _, sidecar := range []bool{false, true} {
		t.Run(fmt.Sprintf("sidecar=%v", sidecar), func(t *testing.T) {
			t.Parallel()
			archive := filepath.Join(t.TempDir(), "not", "yet", "there")
			r := newRig(t, func(c *watch.Config) {
				c.After = watch.After{Benign: watch.AfterRestore, Malicious: archive, Failed: watch.AfterDelete}
				c.Sidecar = sidecar
			})
			r.start()
			for _, name := range []string{"x/benign.txt", "bad.exe", "y/bad.exe", "failed.bin"} {
				r.write(name, name)
			}
			jobs := r.intake.wait(t, 4)
			if err := os.RemoveAll(r.path("x")); err != nil {
				t.Fatal(err)
			}
			r.write("x/benign.txt", "a new one of the same name, taken meanwhile")
			jobs = append(jobs, r.intake.wait(t, 5)[4])
			// Put another file where the first one is to be restored.
			r.stop()
			r.write("x/benign.txt", "in the way")
			r.cfg.Exclude = []string{"nothing"}
			r.cfg.Settle, r.cfg.StaleAfter = time.Hour, time.Hour // the new file stays there
			r.start()
			for _, j := range jobs {
				switch j.Filename {
				case "benign.txt":
					r.outcomes.send(verdict(j, "benign"), verdict(j, "benign"))
				case "bad.exe":
					r.outcomes.send(verdict(j, "malware"), verdict(j, "malware"))
				default:
					r.outcomes.send(failure(j, results.Rejected), failure(j, results.Rejected))
				}
			}
			r.outcomes.waitHandled(t)
			inFolder := r.tree("")
			slices.Sort(inFolder)
			if want := []string{"x/benign.1.txt", "x/benign.2.txt", "x/benign.txt"}; !slices.Equal(inFolder, want) {
				t.Errorf("in the folder: %v, want %v", inFolder, want)
			}
			entries, err := os.ReadDir(archive)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			want := []string{"bad.1.exe", "bad.exe"}
			if sidecar {
				want = []string{"bad.1.exe", "bad.1.exe.json", "bad.exe", "bad.exe.json"}
			}
			if !slices.Equal(names, want) {
				t.Errorf("in the archive: %v, want %v", names, want)
			}
			if left := r.tree(".backburn/claimed"); len(left) != 0 {
				t.Errorf("left in claimed: %v", left)
			}
			done := r.tree(".backburn/done")
			if !sidecar {
				if len(done) != 0 {
					t.Errorf("done has %v", done)
				}
				return
			}
			if len(done) != 3 { // two were restored and one deleted
				t.Errorf("done has %v", done)
			}
			for _, name := range done {
				b, err := os.ReadFile(r.path(".backburn/done/" + name))
				var e results.Event
				if err != nil || json.Unmarshal(b, &e) != nil || !strings.Contains(name, e.Data.JobID) {
					t.Errorf("%s: %v: %s", name, err, b)
				}
			}
		})
	}
}

// TestRestoredFilesAreNotTakenAgain restores a file, restarts the watcher, and then touches and
// changes the file.
func TestRestoredFilesAreNotTakenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.After.Benign = watch.AfterRestore })
	r.start()
	r.write("sub/a.txt", "contents")
	r.outcomes.send(verdict(r.intake.wait(t, 1)[0], "benign"))
	r.outcomes.waitHandled(t)
	r.stop()
	r.start()
	waitFor(t, "scans", afterScans(r, 3))
	if err := os.Chmod(r.path("sub/a.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "scans", afterScans(r, 5))
	if err := os.Rename(r.path("sub/a.txt"), r.path("sub/b.txt")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "scans", afterScans(r, 5))
	if n := len(r.intake.all()); n != 1 {
		t.Fatalf("%d jobs", n)
	}
	r.write("sub/b.txt", "CONTENTS")
	if j := r.intake.wait(t, 2)[1]; j.SHA256 != sum("CONTENTS") || j.Path != "sub/b.txt" {
		t.Errorf("job is %+v", j)
	}
}

// TestRenamedFileKeepsItsRecord renames a restored file while nothing more may be in flight. The
// ledger keeps its record until there is room to compare it, however long that takes, so the file
// is not taken again.
func TestRenamedFileKeepsItsRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.After.Benign, c.MaxInFlight = watch.AfterRestore, 1 })
	r.start()
	r.write("a.txt", "contents")
	r.outcomes.send(verdict(r.intake.wait(t, 1)[0], "benign"))
	r.outcomes.waitHandled(t)
	waitFor(t, "scans", afterScans(r, 3))

	r.write("other", "x")
	other := r.intake.wait(t, 2)[1]
	must(t, os.Rename(r.path("a.txt"), r.path("b.txt")))
	waitFor(t, "many rounds", afterScans(r, 20))
	r.outcomes.send(verdict(other, "benign"))
	r.outcomes.waitHandled(t)
	r.write("last", "y")
	if j := r.intake.wait(t, 3)[2]; j.Filename != "last" {
		t.Errorf("taken: %+v", j)
	}
}

// TestRestoreWhenFolderWasReplaced replaces the file's original folder by something else.
func TestRestoreWhenFolderWasReplaced(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	for name, block := range map[string]func(name string) error{
		"a file": func(name string) error { return os.WriteFile(name, []byte("x"), 0o666) },
		"a link": func(name string) error { return os.Symlink(outside, name) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.After.Benign = watch.AfterRestore })
			r.start()
			r.write("sub/a.txt", "contents")
			job := r.intake.wait(t, 1)[0]
			must(t, os.RemoveAll(r.path("sub")))
			must(t, block(r.path("sub")))
			r.outcomes.send(verdict(job, "benign"))
			r.outcomes.waitHandled(t)
			if b, err := os.ReadFile(r.path("a.txt")); err != nil || string(b) != "contents" {
				t.Errorf("a.txt: %q, %v", b, err)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
				t.Errorf("the folder outside has %v, %v", entries, err)
			}
		})
	}
}

func TestFilesStayInPlace(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	for name, stateDir := range map[string]string{"ledger in the folder": "", "ledger elsewhere": state} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) {
				c.Claim = watch.ClaimKeep
				c.StateDir = stateDir
				c.Sidecar = true
			})
			if stateDir != "" {
				if err := os.Chmod(r.dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r.write("sub/a.txt", "one")
			r.start()
			first := r.intake.wait(t, 1)[0]
			if first.Content.Path != "sub/a.txt" || first.Path != "sub/a.txt" || first.SHA256 != sum("one") {
				t.Errorf("job is %+v %+v", first, first.Content)
			}
			waitFor(t, "the ledger", func() bool { return r.w.Status().InFlight == 1 })
			r.stop()
			r.start()
			waitFor(t, "scans", afterScans(r, 3))
			if n := r.w.Status().InFlight; n != 1 {
				t.Errorf("%d in flight after a restart", n)
			}
			r.outcomes.send(verdict(first, "benign"), verdict(first, "benign"))
			r.outcomes.waitHandled(t)
			if n := r.w.Status().InFlight; n != 0 {
				t.Errorf("%d in flight after the final event", n)
			}
			if _, err := os.Stat(r.path(".backburn")); stateDir != "" && err == nil {
				t.Error("the folder was written to")
			}
			// If it is touched, moved or linked, it is the same file. If its contents change in
			// place while size and mtime stay the same, it is another file.
			st, err := os.Stat(r.path("sub/a.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(r.path("sub/a.txt"), r.path("b.txt")); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(r.path("b.txt"), r.path("c.txt")); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "scans", afterScans(r, 5))
			if n := len(r.intake.all()); n != 1 {
				t.Errorf("%d jobs of one file", n)
			}
			if err := os.Remove(r.path("c.txt")); err != nil {
				t.Fatal(err)
			}
			r.write("b.txt", "two")
			if err := os.Chtimes(r.path("b.txt"), st.ModTime(), st.ModTime()); err != nil {
				t.Fatal(err)
			}
			if j := r.intake.wait(t, 2)[1]; j.SHA256 != sum("two") || j.ID == first.ID {
				t.Errorf("job is %+v", j)
			}
			// A new file is another one even if name, contents and mtime are the same.
			for i := range 5 {
				if err := os.Remove(r.path("b.txt")); err != nil {
					t.Fatal(err)
				}
				r.write("b.txt", "two")
				if err := os.Chtimes(r.path("b.txt"), st.ModTime(), st.ModTime()); err != nil {
					t.Fatal(err)
				}
				r.intake.wait(t, 3+i)
			}
			if left := r.tree(""); !slices.Equal(left, []string{"b.txt"}) {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestClaimSettingChanges changes the claim setting while files are in flight.
func TestClaimSettingChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.write("a", "moved")
	r.start()
	moved := r.intake.wait(t, 1)[0]
	r.stop()
	r.cfg.Claim = watch.ClaimKeep
	r.write("b", "kept")
	r.start()
	kept := r.intake.wait(t, 2)[1]
	waitFor(t, "both to count", func() bool { return r.w.Status().InFlight == 2 })
	r.stop()
	r.start()
	waitFor(t, "both to count", func() bool { return r.w.Status().InFlight == 2 })
	r.outcomes.send(verdict(moved, "benign"))
	r.outcomes.waitHandled(t)
	if done := r.tree(".backburn/done"); len(done) != 1 {
		t.Errorf("done has %v", done)
	}
	r.stop()
	r.cfg.Claim = watch.ClaimMove
	r.start()
	r.outcomes.send(verdict(kept, "benign"))
	r.outcomes.waitHandled(t)
	waitFor(t, "scans", afterScans(r, 3))
	if left := r.tree(""); !slices.Equal(left, []string{"b"}) || len(r.intake.all()) != 2 {
		t.Errorf("left: %v, %d jobs", left, len(r.intake.all()))
	}
	r.stop()
	r.cfg.Claim = watch.ClaimKeep
	r.start()
	waitFor(t, "scans", afterScans(r, 3))
	if n := r.w.Status().InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestOneWatcherHoldsTheLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Claim = watch.ClaimKeep })
	r.start()
	r.write("a", "a")
	r.intake.wait(t, 1)
	second := *r
	second.outcomes = newOutcomes()
	second.start()
	waitFor(t, "the second to stand by", func() bool { return strings.Contains(second.w.Status().Reason, "standing by") })
	r.stop()
	r.write("b", "b")
	if j := r.intake.wait(t, 2)[1]; j.Filename != "b" {
		t.Errorf("job is %+v", j)
	}
	waitFor(t, "scans", afterScans(&second, 2))
	if n := len(r.intake.all()); n != 2 {
		t.Errorf("%d jobs", n)
	}
}

func TestContentsTravelAsObjects(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) {
				c.Transfer = watch.TransferObject
				c.Claim = claim
				c.MaxFileSize = 100
			})
			r.objects.fail = errors.New("the store is unavailable")
			r.write("a", "contents")
			r.start()
			waitFor(t, "the fault to show", func() bool { return strings.Contains(r.w.Status().Reason, "the store is unavailable") })
			r.objects.mu.Lock()
			r.objects.fail = nil
			r.objects.mu.Unlock()
			job := r.intake.wait(t, 1)[0]
			if got := r.content(job); got != "contents" || job.Content.Path != "" {
				t.Errorf("content is %q, %+v", got, job.Content)
			}
			r.outcomes.send(verdict(job, "benign"))
			r.outcomes.waitHandled(t)
			if _, ok := r.objects.get(job.Content.Object); ok {
				t.Error("the object was not removed after its job ended")
			}
			r.write("big", strings.Repeat("x", 101))
			if job := r.intake.wait(t, 2)[1]; job.SHA256 != "" || job.Content.Object == "" || job.Size != 101 {
				t.Errorf("job is %+v", job)
			}
			r.stop()

			// A crash left an object of this folder; other folders have objects, too.
			prefix := strings.TrimSuffix(job.Content.Object, job.ID)
			r.objects.mu.Lock()
			for name, age := range map[string]time.Duration{
				job.Content.Object: 2 * time.Hour, prefix + strings.Repeat("0", 26): time.Minute,
				"test/" + strings.Repeat("0", 26) + "/" + strings.Repeat("0", 26): 2 * time.Hour, "gateway": 2 * time.Hour,
			} {
				r.objects.objects[name], r.objects.times[name] = nil, time.Now().Add(-age)
			}
			r.objects.mu.Unlock()
			r.start()
			waitFor(t, "the janitor", func() bool { _, there := r.objects.get(job.Content.Object); return !there })
			waitFor(t, "scans", afterScans(r, 2))
			if n := len(r.objects.objects); n != 3 {
				t.Errorf("%d objects are left, want those of others and the young one", n)
			}
		})
	}
}

// TestJanitor checks that the janitor removes leftovers of crashes.
func TestJanitor(t *testing.T) {
	t.Parallel()
	archive := t.TempDir()
	r := newRig(t, func(c *watch.Config) { c.After.Malicious = archive })
	old, young := spool.NewID(time.Now().Add(-2*time.Hour), spool.RootTag), spool.NewID(time.Now(), spool.RootTag)
	for _, name := range []string{"/.backburn-" + old + ".tmp", "/.backburn-" + young + ".tmp", "/.backburn-x.tmp", "/" + old} {
		must(t, os.WriteFile(archive+name, nil, 0o600))
	}
	r.write(".backburn/tmp/"+old, "")
	r.write(".backburn/tmp/"+young, "")
	r.start()
	waitFor(t, "scans", afterScans(r, 2))
	waitFor(t, "the old ones to go", func() bool { return len(r.tree(".backburn/tmp")) == 1 })
	entries, err := os.ReadDir(archive)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v %v", entries, err)
	}
}

// TestRecordsOfRemovedFolders checks that there are no more records than folders, even if every
// file arrives in a new folder.
func TestRecordsOfRemovedFolders(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.start()
	for i, name := range []string{"gone/a", "there/a", "claimed/a", "young/a", "again/a"} {
		r.write(name, name)
		job := r.intake.wait(t, i+1)[i]
		if name != "claimed/a" {
			r.outcomes.send(verdict(job, "benign"))
			r.outcomes.waitHandled(t)
		}
		if name != "there/a" {
			must(t, os.Remove(r.path(filepath.Dir(name))))
		}
	}
	for _, record := range r.tree(".backburn/paths") {
		record = r.path(".backburn/paths/" + record)
		b, err := os.ReadFile(record)
		must(t, err)
		if string(b) != "young" {
			must(t, os.Chtimes(record, time.Time{}, time.Now().Add(-2*time.Hour)))
		}
	}
	other := *r // a second watcher, whose janitor runs at its start
	other.outcomes = newOutcomes()
	other.start()
	waitFor(t, "two records to go", func() bool { return len(r.tree(".backburn/paths")) == 3 })
	other.stop()
	r.write("again/b", "b")
	r.intake.wait(t, 6)
	if n := len(r.tree(".backburn/paths")); n != 4 {
		t.Errorf("%d records", n)
	}
	r.stop()
	r.intake = newIntake() // an empty queue
	r.start()
	var paths []string
	for _, j := range r.intake.wait(t, 2) {
		paths = append(paths, j.Path)
	}
	slices.Sort(paths)
	if !slices.Equal(paths, []string{"again/b", "claimed/a"}) {
		t.Errorf("after a restart the claimed files are %q", paths)
	}
}

// TestLongNamesAreMovedWithSidecars moves files whose names leave no room for a suffix.
func TestLongNamesAreMovedWithSidecars(t *testing.T) {
	t.Parallel()
	archive := t.TempDir()
	r := newRig(t, func(c *watch.Config) { c.After.Malicious, c.Sidecar = archive, true })
	r.start()
	for i := range 3 {
		r.write(fmt.Sprintf("%d/%s.exe", i, strings.Repeat("n", 251)), "x")
	}
	for _, j := range r.intake.wait(t, 3) {
		r.outcomes.send(verdict(j, "c2"))
	}
	r.outcomes.waitHandled(t)
	entries, err := os.ReadDir(archive)
	if err != nil || len(entries) != 6 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestFolderCreatedLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.dir = filepath.Join(r.dir, "later")
	r.cfg.Path = r.dir
	r.start()
	waitFor(t, "the folder to be degraded", func() bool { return strings.Contains(r.w.Status().Reason, "no such file") })
	r.write("sub/a", "a")
	r.intake.wait(t, 1)
}

func TestPathIsAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.write("file", "")
	r.cfg.Path = r.path("file")
	w, err := watch.New(r.cfg, r.intake, r.outcomes, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("Run returned %v", err)
	}
}

func TestNotRecursive(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Recursive = false })
	r.write("sub/a", "a")
	r.write("b", "b")
	r.start()
	r.write("sub/c", "c")
	r.intake.wait(t, 1)
	waitFor(t, "scans", afterScans(r, 2))
	if jobs := r.intake.all(); len(jobs) != 1 || jobs[0].Path != "b" {
		t.Errorf("jobs: %+v", jobs)
	}
}

// TestJetStream publishes files to a real queue, with polling and with events.
func TestJetStream(t *testing.T) {
	t.Parallel()
	js, stream := startJetStream(t)
	const n = 200
	var wg sync.WaitGroup
	for _, mode := range []string{watch.WatchEvents, watch.WatchPoll} {
		r := newRig(t, func(c *watch.Config) { c.Watch = mode })
		w, err := watch.New(r.cfg, jetIntake{js}, r.outcomes, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { cancel(); wg.Wait() })
		for i := range n {
			r.write(fmt.Sprintf("%s/%d", mode, i), fmt.Sprint(i))
		}
	}
	cons, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for len(seen) < 2*n {
		msg, err := cons.Next(jetstream.FetchMaxWait(testTimeout))
		if err != nil {
			t.Fatalf("after %d jobs: %v", len(seen), err)
		}
		var job pipeline.Job
		if err := json.Unmarshal(msg.Data(), &job); err != nil {
			t.Fatal(err)
		}
		if job.SHA256 != sum(job.Filename) || seen[job.Path] {
			t.Errorf("job is %+v", job)
		}
		seen[job.Path] = true
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}
