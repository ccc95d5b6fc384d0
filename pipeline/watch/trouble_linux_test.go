package watch_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backburn/internal/testkit/needs"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// TestImmutableFile has a file that cannot be renamed. It is reported as a fault of that file;
// other files are taken.
func TestImmutableFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.StaleAfter = 50 * time.Millisecond })
	r.write("stuck", "malware")
	release := needs.Immutable(t, r.path("stuck"))
	r.write("plain", "x")
	r.start()

	if j := r.intake.wait(t, 1)[0]; j.Filename != "plain" {
		t.Errorf("taken: %+v", j)
	}
	if trouble := r.waitForTrouble("stuck"); !strings.Contains(trouble.Reason, "immutable") || trouble.Since.IsZero() {
		t.Errorf("reported: %+v", trouble)
	}
	release()
	r.intake.wait(t, 2)
	if s := r.w.Status(); s.Troubled != 0 || r.gauge("troubled_files") != 0 {
		t.Errorf("still in trouble: %+v", s.Troubles)
	}
}

// TestTroubleOfARemovedFileEnds removes a file that cannot be claimed.
func TestTroubleOfARemovedFileEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.StaleAfter = 50 * time.Millisecond })
	r.write("stuck", "malware")
	release := needs.Immutable(t, r.path("stuck"))
	r.start()
	r.waitForTrouble("stuck")
	release()
	os.Remove(r.path("stuck"))
	waitFor(t, "the trouble to end", func() bool { return r.w.Status().Troubled == 0 })
}

// TestFileThatCannotBeMovedAfterItsVerdict makes a claimed file immutable. The folder keeps
// working.
func TestFileThatCannotBeMovedAfterItsVerdict(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.StaleAfter = 50 * time.Millisecond })
	r.write("stuck", "x")
	r.start()
	job := r.intake.wait(t, 1)[0]
	name := r.path(job.Content.Path)
	release := needs.Immutable(t, name)
	r.outcomes.send(verdict(job, "benign"))
	if trouble := r.waitForTrouble(job.Content.Path); !strings.Contains(trouble.Reason, "verdict") {
		t.Errorf("reported: %+v", trouble)
	}
	release()
	r.outcomes.waitHandled(t)
	if s := r.w.Status(); s.Troubled != 0 {
		t.Errorf("still in trouble: %+v", s.Troubles)
	}
}

// TestUnreadableFilesAreReported has a file and a folder of another user that the watcher may not
// read.
func TestUnreadableFilesAreReported(t *testing.T) {
	t.Parallel()
	needs.Root(t, "running as another user")
	spec := crashSpec(t, func(c *watch.Config) { c.StaleAfter = 100 * time.Millisecond })
	c := startAsNobody(t, spec, func() {
		must(t, os.WriteFile(filepath.Join(spec.Config.Path, "locked"), []byte("x"), 0o600))
		must(t, os.Mkdir(filepath.Join(spec.Config.Path, "closed"), 0o700))
	})
	var s childStatus
	waitFor(t, "both to be reported", func() bool {
		s = c.status(t)
		return s.Troubled == 2
	})
	if s.State != watch.StateOK {
		t.Errorf("the folder is %s: %s", s.State, s.Reason)
	}
	reasons := map[string]string{}
	for _, trouble := range s.Troubles {
		reasons[trouble.Path] = trouble.Reason
	}
	if !strings.Contains(reasons["locked"], "permission denied; let the watcher's user read it") || reasons["closed"] == "" {
		t.Errorf("reported: %q", reasons)
	}
	must(t, os.Chmod(filepath.Join(spec.Config.Path, "locked"), 0o644))
	must(t, os.Chmod(filepath.Join(spec.Config.Path, "closed"), 0o777))
	waitFor(t, "the trouble to end", func() bool { return c.status(t).Troubled == 0 })
	c.stop(t)
}

// leaseEnv makes the test binary hold a write lease on a file.
const leaseEnv = "BACKBURN_WATCH_LEASE" // see TestMain

// holdLease takes a write lease, prints that it has it, and keeps it until its standard input ends.
func holdLease(name string) {
	fd, err := unix.Open(name, unix.O_RDWR, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	}
	fmt.Println(err)
	os.Stdin.Read(make([]byte, 1))
}

// TestWriteLease has a file on which another program holds a write lease, like a Samba server. The
// file counts as having a writer. The watcher neither spins nor blocks, and stops when asked to.
func TestWriteLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.write("leased", "x")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaseEnv+"="+r.path("leased"))
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		needs.CannotRun(t, "a write lease: %s: %v", line, err)
	}

	r.start()
	waitFor(t, "the writer to be detected", func() bool { return r.metric("deferred_total", "writer") > 2 })
	if f, err := unix.Open(r.path("leased"), unix.O_RDONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("the watcher blocked until the kernel broke the lease: %d, %v", f, err)
	}
	if s := r.w.Status(); s.State != watch.StateOK || len(r.intake.all()) != 0 {
		t.Errorf("state %s, %d jobs", s.State, len(r.intake.all()))
	}
	r.stop() // returns
	in.Close()
	r.start()
	r.intake.wait(t, 1)
}

// TestFileIsRewrittenAfterItsClaim has a local user who kept the file open and writes to it after
// it was claimed and submitted. The verdict is then about other contents. The present contents
// become a new job, and the file stays until it has its own verdict.
func TestFileIsRewrittenAfterItsClaim(t *testing.T) {
	t.Parallel()
	archive := t.TempDir()
	for name, after := range map[string]string{
		"restore": watch.AfterRestore, "delete": watch.AfterDelete, "keep": watch.AfterKeep, "move": archive + "/here",
	} {
		for how, rewrite := range map[string]func(f *os.File) error{
			"same size": func(f *os.File) error { _, err := f.WriteAt([]byte("MALWARE!"), 0); return err },
			"larger":    func(f *os.File) error { _, err := f.WriteAt([]byte("MALWARE, AND MORE"), 0); return err },
			"emptied":   func(f *os.File) error { return f.Truncate(0) },
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(c *watch.Config) { c.After.Benign = after })
				r.write("sub/a", "harmless")
				kept, err := os.Open(r.path("sub/a"))
				must(t, err)
				defer kept.Close()
				r.start()
				first := r.intake.wait(t, 1)[0]

				st, err := kept.Stat()
				must(t, err)
				through := fmt.Sprintf("/proc/self/fd/%d", kept.Fd())
				w, err := os.OpenFile(through, os.O_WRONLY, 0)
				must(t, err)
				must(t, errors.Join(rewrite(w), w.Close(), os.Chtimes(through, time.Time{}, st.ModTime())))
				r.outcomes.send(verdict(first, "benign"))

				second := r.intake.wait(t, 2)[1]
				content := r.content(second)
				if second.ID == first.ID || second.SHA256 != sum(content) || content == "harmless" || second.Path != "sub/a" {
					t.Errorf("the new job is %+v of %q", second, content)
				}
				if left := r.tree(""); len(left) != 0 {
					t.Errorf("the folder contains %v", left)
				}
				if n := r.metric("finished_total", "resubmit"); n != 1 {
					t.Errorf("the metric is %v", n)
				}
				r.outcomes.waitHandled(t)
				r.outcomes.send(verdict(second, "malware"))
				r.outcomes.waitHandled(t)
				if done := r.tree(".backburn/done/malware"); len(done) != 1 {
					t.Errorf("done: %v", done)
				}
			})
		}
	}
}

// TestFileIsRewrittenAfterACrash rewrites a file that was being restored when the watcher died.
// Size and mtime are unchanged, so the watcher must compare the contents.
func TestFileIsRewrittenAfterACrash(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"rewritten": "MALWARE!", "as it was": "harmless"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := crashSpec(t, func(c *watch.Config) { c.After.Benign = watch.AfterRestore })
			spec.KillAtStep = "restoring"
			file := filepath.Join(spec.Config.Path, "a")
			must(t, os.WriteFile(file, []byte("harmless"), 0o666))
			c := startChild(t, spec)
			<-c.ended
			claimed, err := filepath.Glob(filepath.Join(spec.Config.Path, ".backburn/claimed/*"))
			must(t, err)
			if len(claimed) != 1 {
				t.Fatalf("claimed: %v", claimed)
			}
			st, err := os.Stat(claimed[0])
			must(t, err)
			must(t, os.Rename(claimed[0], file))
			must(t, os.WriteFile(file, []byte(content), 0o666))
			must(t, os.Chtimes(file, time.Time{}, st.ModTime()))

			spec.KillAtStep = ""
			c = startChild(t, spec)
			must(t, os.WriteFile(filepath.Join(spec.Config.Path, "next"), []byte("next"), 0o666))
			want := 2
			if content != "harmless" {
				want = 3
			}
			var jobs []jobLine
			waitFor(t, "the jobs", func() bool {
				jobs, err = readLines(filepath.Join(spec.State, "jobs"), 0)
				must(t, err)
				return len(jobs) == want
			})
			waitFor(t, "some scans", func() bool { return c.status(t).Pending == 0 && c.status(t).InFlight == 0 })
			c.stop(t)
			jobs, err = readLines(filepath.Join(spec.State, "jobs"), 0)
			must(t, err)
			if len(jobs) != want {
				t.Errorf("%d jobs, want %d", len(jobs), want)
			}
		})
	}
}

// TestSpoolReplacedByALink replaces the spool with a link while the watcher runs; any user who may
// write to the folder can do that. Nothing may appear in the link's target.
func TestSpoolReplacedByALink(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			outside := t.TempDir()
			r := newRig(t, func(c *watch.Config) { c.Claim = claim })
			r.write("first", "first")
			r.start()
			first := r.intake.wait(t, 1)[0]
			must(t, os.Rename(r.path(".backburn"), filepath.Join(t.TempDir(), "away")))
			must(t, os.Symlink(outside, r.path(".backburn")))
			r.write("second", "second")
			r.outcomes.send(verdict(first, "benign"))
			waitFor(t, "the folder to be degraded", func() bool { return r.w.Status().State != watch.StateOK })
			waitFor(t, "further tries", func() bool { return r.gauge("watch_rebuilds_total") >= 1 })
			entries, err := os.ReadDir(outside)
			must(t, err)
			if len(entries) > 0 {
				t.Errorf("the link's target contains %v", entries)
			}

			must(t, os.Remove(r.path(".backburn")))
			waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
			r.write("third", "third")
			waitFor(t, "the third file", func() bool {
				return slices.ContainsFunc(r.intake.all(), func(j pipeline.Job) bool { return j.Filename == "third" })
			})
		})
	}
}

// TestSpoolReplacedRepeatedly swaps the spool and a link as fast as it can, so that a swap
// eventually occurs between any two steps.
func TestSpoolReplacedRepeatedly(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	r := newRig(t, func(c *watch.Config) { c.Claim, c.Scan = watch.ClaimKeep, 5*time.Millisecond })
	link := r.path("link")
	must(t, os.Symlink(outside, link))
	r.write("a", "x")
	r.start()
	r.intake.wait(t, 1)
	for n := 0; r.gauge("watch_rebuilds_total") < 20; n++ {
		unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, r.path(".backburn"), unix.RENAME_EXCHANGE)
		time.Sleep(time.Duration(n%1000) * time.Microsecond)
	}
	r.stop()
	entries, err := os.ReadDir(outside)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("the link's target contains %v", entries)
	}
}

// TestCopiesOfHardlinksAreBounded links one file many times on a small disk. The space for copies
// is limited while they are in flight, and while they are kept. It is released when somebody
// removes claimed copies.
func TestCopiesOfHardlinksAreBounded(t *testing.T) {
	t.Parallel()
	const removed = "removed"
	for _, after := range []string{watch.AfterDelete, watch.AfterKeep, removed} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) {
				c.MinFree = 0
				if after != removed {
					c.After.Benign = after
				}
			})
			needs.Tmpfs(t, r.dir, "size=20m")
			must(t, os.WriteFile(r.path("linked-0"), make([]byte, 900<<10), 0o666))
			const names = 4 // a tenth of the disk has room for two of them
			for i := 1; i < names; i++ {
				must(t, os.Link(r.path("linked-0"), r.path(fmt.Sprintf("linked-%d", i))))
			}
			r.start()

			jobs := r.intake.wait(t, 2)
			usedUp := func() bool { return strings.Contains(r.w.Status().Reason, "share of the disk") }
			waitFor(t, "the share to be used up", usedUp)
			if after == removed {
				must(t, os.Remove(r.path(jobs[0].Content.Path)))
				must(t, os.Remove(r.path(jobs[1].Content.Path)))
			} else {
				r.outcomes.send(verdict(jobs[0], "benign"), verdict(jobs[1], "benign"))
				r.outcomes.waitHandled(t)
			}
			if after == watch.AfterKeep {
				waitFor(t, "further tries", afterScans(r, 30))
				if n := len(r.intake.all()); n != 2 {
					t.Errorf("%d copies were made while two are kept", n)
				}
				must(t, os.RemoveAll(r.path(".backburn/done/benign")))
			}
			r.intake.wait(t, names)
			waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
		})
	}
}

// TestFoldersReplacedByALink replaces the watched folder, and the folder for finished files, with
// links of another user, who may write to the folders above. Nothing is read or written elsewhere.
func TestFoldersReplacedByALink(t *testing.T) {
	t.Parallel()
	needs.Root(t, "a link of another user")
	foreignLink := func(target, name string) {
		t.Helper()
		must(t, os.Symlink(target, name))
		must(t, os.Lchown(name, 65534, 65534))
	}
	elsewhere := func() string {
		t.Helper()
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "private"), []byte("of root alone"), 0o600))
		return dir
	}
	waitForFault := func(r *rig) {
		t.Helper()
		waitFor(t, "the link to be reported", func() bool {
			return strings.Contains(r.w.Status().Reason, "belongs to the user with the ID 65534")
		})
	}
	checkUntouched := func(t *testing.T, dir string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if must(t, err); len(entries) != 1 {
			t.Errorf("elsewhere there is %v", entries)
		}
	}

	t.Run("the folder for finished files", func(t *testing.T) {
		t.Parallel()
		outside, out := elsewhere(), filepath.Join(t.TempDir(), "out")
		r := newRig(t, func(c *watch.Config) { c.After.Benign = out })
		foreignLink(outside, out)
		r.write("a", "a")
		r.start()
		r.outcomes.send(verdict(r.intake.wait(t, 1)[0], "benign"))
		waitForFault(r)
		checkUntouched(t, outside)

		must(t, os.Remove(out))
		r.outcomes.waitHandled(t)
		if _, err := os.Stat(filepath.Join(out, "a")); err != nil {
			t.Errorf("without the link: %v", err)
		}
	})

	t.Run("the watched folder", func(t *testing.T) {
		t.Parallel()
		outside := elsewhere()
		r := newRig(t, nil)
		r.write("a", "a")
		r.start()
		r.intake.wait(t, 1)
		away := filepath.Join(t.TempDir(), "away")
		must(t, os.Rename(r.path(""), away))
		foreignLink(outside, filepath.Clean(r.path("")))
		waitForFault(r)
		checkUntouched(t, outside)
		if n := len(r.intake.all()); n != 1 {
			t.Errorf("%d jobs, want 1", n)
		}
	})
}
