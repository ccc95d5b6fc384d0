package watch_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backburn/internal/testkit/needs"
	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// TestOddFiles fills a folder with entries that are not regular files, and with regular files with
// unusual names. Only the regular files are taken, and nothing hangs.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MaxFileSize = 1 << 20 })
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	must(t, unix.Mkfifo(r.path("fifo"), 0o666))
	l, err := net.Listen("unix", r.path("socket"))
	must(t, err)
	defer l.Close()
	if err := unix.Mknod(r.path("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
		t.Logf("cannot create a device here: %v", err)
	}
	must(t, os.Symlink(outside, r.path("link-out")))
	r.write("target", "of a link inside")
	must(t, os.Symlink("target", r.path("link-in")))
	must(t, os.Symlink(filepath.Dir(outside), r.path("dir-link")))

	names := []string{"target", strings.Repeat("n", 255), "new\nline", "raw-\xff\xfe", "-rf", " lead", "...", "~tilde", "a'b\"c\\d", "ünï", "sub/raw-\xff/" + strings.Repeat("m", 250)}
	for _, name := range names[1:] {
		r.write(name, "contents of "+name)
	}
	r.write("empty", "")
	must(t, os.WriteFile(r.path("sparse"), nil, 0o666))
	must(t, os.Truncate(r.path("sparse"), 1<<40))
	must(t, os.WriteFile(r.path("exact"), make([]byte, 1<<20), 0o666))
	must(t, os.WriteFile(r.path("over"), make([]byte, 1<<20+1), 0o666))
	r.cfg.Defer = []string{".tmp"}
	r.cfg.StaleAfter = 100 * time.Millisecond // for the empty file
	r.start()
	jobs := r.intake.wait(t, len(names)+4)
	byName := map[string]pipeline.Job{}
	for _, j := range jobs {
		name := j.Path
		if j.PathB64 != nil {
			name = string(j.PathB64)
		}
		byName[name] = j
		base := j.Filename
		if j.FilenameB64 != nil {
			base = string(j.FilenameB64)
		}
		if base != filepath.Base(name) {
			t.Errorf("%q has the file name %q", name, base)
		}
	}
	for _, name := range names {
		j, ok := byName[name]
		if !ok {
			t.Errorf("%q was not taken", name)
			continue
		}
		want := "contents of " + name
		if name == "target" {
			want = "of a link inside"
		}
		if got := r.content(j); got != want || j.SHA256 != sum(want) {
			t.Errorf("%q holds %q", name, got)
		}
	}
	for name, want := range map[string]struct {
		size   int64
		hashed bool
	}{"empty": {0, true}, "sparse": {1 << 40, false}, "exact": {1 << 20, true}, "over": {1<<20 + 1, false}} {
		j, ok := byName[name]
		if !ok || j.Size != want.size || (j.SHA256 != "") != want.hashed {
			t.Errorf("%s: taken %v, size %d, sha256 %q", name, ok, j.Size, j.SHA256)
		}
	}
	// Finished files keep their names in done, however odd.
	for _, j := range jobs {
		r.outcomes.send(verdict(j, "benign"))
	}
	r.outcomes.waitHandled(t)
	if n := len(r.tree(".backburn/done/benign")); n != len(jobs) {
		t.Errorf("%d files are done, want %d", n, len(jobs))
	}
	if left := r.tree(".backburn/paths"); len(left) > 3 { // one record for each folder
		t.Errorf("records of long names are left: %v", left)
	}
	for _, name := range []string{"fifo", "socket", "link-out", "link-in", "dir-link"} {
		if _, err := os.Lstat(r.path(name)); err != nil {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
		t.Errorf("the file outside was touched: %v", err)
	}
}

// TestNameIsReplacedWhileItIsClaimed repeatedly renames a new file over the same name. Overwritten
// files are gone; each of the others is taken once, with its own contents.
func TestNameIsReplacedWhileItIsClaimed(t *testing.T) {
	t.Parallel()
	const n = 3000
	r := newRig(t, func(c *watch.Config) { c.Settle, c.MaxInFlight = 0, n })
	r.start()
	staging := t.TempDir()
	index := map[string]int{}
	for i := range n {
		content := fmt.Sprintf("version %d", i)
		index[sum(content)] = i
		must(t, os.WriteFile(filepath.Join(staging, "x"), []byte(content), 0o666))
		must(t, os.Rename(filepath.Join(staging, "x"), r.path("same")))
	}
	last := func(j pipeline.Job) bool { return index[j.SHA256] == n-1 }
	waitFor(t, "the last version", func() bool { return slices.ContainsFunc(r.intake.all(), last) })

	jobs := r.intake.all()
	seen := map[string]bool{}
	for _, j := range jobs {
		if seen[j.SHA256] {
			t.Errorf("version %d is two jobs", index[j.SHA256])
		}
		seen[j.SHA256] = true
		if got := r.content(j); sum(got) != j.SHA256 {
			t.Errorf("job %s does not match the contents %q", j.ID, got)
		}
	}
}

// TestClaimedEntryIsNotAFile puts other entries among the claimed files, as when a file is replaced
// at the moment of its claim and the watcher then dies. Entries that are not named like claimed
// files are ignored.
func TestClaimedEntryIsNotAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	claimed := r.path(".backburn/claimed/")
	must(t, os.MkdirAll(claimed, 0o700))
	creators := map[string]func(name string) error{
		"pipe":   func(name string) error { return unix.Mkfifo(name, 0o600) },
		"link":   func(name string) error { return os.Symlink("/etc/passwd", name) },
		"folder": func(name string) error { return os.MkdirAll(name+"/below", 0o700) },
		"socket": func(name string) error {
			return unix.Mknod(name, unix.S_IFSOCK|0o600, 0)
		},
	}
	ids := map[string]string{}
	for thing, put := range creators {
		ids[thing] = spool.NewID(time.Now(), spool.RootTag)
		must(t, put(claimed+"/"+ids[thing]+"-"+thing))
	}
	garbage := []string{"garbage", ids["pipe"], ids["pipe"] + "-", strings.Repeat("!", 26) + "-x", "core.1"}
	for _, name := range garbage {
		must(t, os.WriteFile(claimed+"/"+name, []byte("?"), 0o600))
	}
	r.start()
	for thing := range creators {
		waitFor(t, thing+" to be set aside", func() bool {
			_, err := os.Lstat(r.path(".backburn/done/special/" + ids[thing] + "-" + thing))
			return err == nil
		})
	}
	r.write("a", "a")
	if j := r.intake.wait(t, 1)[0]; j.Path != "a" {
		t.Errorf("taken: %q", j.Path)
	}
	waitFor(t, "the counts to be right", func() bool { return r.w.Status().InFlight == 1 })
	if left := r.tree(".backburn/claimed"); len(left) != len(garbage)+1 {
		t.Errorf("claimed has %q", left)
	}
}

// TestFolderReplacesFileDuringClaim replaces a file with a folder at the moment of its claim. The
// files in the folder are taken as usual.
func TestFolderReplacesFileDuringClaim(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{watch.WatchEvents, watch.WatchPoll} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Watch = mode })
			r.write("a", "a file at first")
			var once sync.Once
			r.start(func(w *watch.Watcher) {
				w.SetStep(func(step string) {
					if step == "claimed" {
						once.Do(func() {
							claimed := ".backburn/claimed/" + r.tree(".backburn/claimed")[0]
							must(t, os.Remove(r.path(claimed)))
							r.write(claimed+"/evil.exe", "evil")
						})
					}
				})
			})
			if j := r.intake.wait(t, 1)[0]; j.Path != "a/evil.exe" || r.content(j) != "evil" {
				t.Errorf("job is %+v", j)
			}
		})
	}
}

func TestUnreadableFileIsTakenWhenItCanBeRead(t *testing.T) {
	t.Parallel()
	needs.Root(t, "running as another user")
	spec := crashSpec(t, func(c *watch.Config) { c.Scan = 24 * time.Hour }) // only the event can lead back to the file
	spec.Check = true
	c := startAsNobody(t, spec, func() {
		must(t, os.WriteFile(filepath.Join(spec.Config.Path, "locked"), []byte("x"), 0o000))
	})
	jobs := func() []jobLine {
		l, err := readLines(filepath.Join(spec.State, "jobs"), 0)
		must(t, err)
		return l
	}
	must(t, os.WriteFile(filepath.Join(spec.Config.Path, "open"), []byte("y"), 0o666))
	waitFor(t, "the readable file", func() bool { return len(jobs()) == 1 })
	if !slices.ContainsFunc(c.status(t).Findings, func(f watch.Finding) bool {
		return f.Name == "permissions" && f.Level == watch.Warn && strings.Contains(f.Detail, `"locked"`) && strings.Contains(f.Fix, "CAP_DAC_READ_SEARCH")
	}) {
		t.Error("the check does not name the unreadable file")
	}
	must(t, os.Chmod(filepath.Join(spec.Config.Path, "locked"), 0o644))
	waitFor(t, "the file that was unreadable", func() bool { return len(jobs()) == 2 })
	c.stop(t)
}

// startAsNobody starts a watcher as a user who owns none of the files.
func startAsNobody(t *testing.T, spec childSpec, prepare func()) *child {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	b, err := os.ReadFile(exe)
	must(t, err)
	dir := t.TempDir()
	copied := filepath.Join(dir, "watch.test")
	must(t, os.WriteFile(copied, b, 0o755))
	for _, d := range []string{dir, spec.Config.Path, spec.State} {
		must(t, os.Chmod(d, 0o777))
		must(t, os.Chmod(filepath.Dir(d), 0o755))
	}
	prepare()
	return startChild(t, spec, func(cmd *exec.Cmd) {
		cmd.Path = copied
		cmd.Args = []string{copied}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
}

func TestLeaseRefusedFallsBackToSettle(t *testing.T) {
	t.Parallel()
	needs.Root(t, "running as another user")
	spec := crashSpec(t, func(c *watch.Config) { c.Settle = 100 * time.Millisecond })
	spec.Verdict = ""
	began := time.Now()
	c := startAsNobody(t, spec, func() {
		must(t, os.WriteFile(filepath.Join(spec.Config.Path, "roots-file"), []byte("x"), 0o644))
	})
	must(t, os.WriteFile(filepath.Join(spec.Config.Path, "another"), []byte("y"), 0o644))
	waitFor(t, "both files", func() bool {
		l, err := readLines(filepath.Join(spec.State, "jobs"), 0)
		must(t, err)
		return len(l) == 2
	})
	if took := time.Since(began); took < 5*spec.Config.Settle {
		t.Errorf("taken after %v although writers could not be detected", took)
	}
	if n := c.status(t).Metrics["backburn_watch_writer_check_unavailable_total"]; n < 2 {
		t.Errorf("the metric is %v", n)
	}
	c.stop(t)
	if stderr := c.stderr.String(); !strings.Contains(stderr, "AmbientCapabilities=CAP_LEASE") {
		t.Errorf("the log does not say what to do: %s", stderr)
	}
}

func TestHardlinks(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{watch.HardlinksCopy, watch.HardlinksTake, watch.HardlinksReject} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Hardlinks = policy })
			other := filepath.Join(t.TempDir(), "other")
			must(t, os.WriteFile(other, []byte("original"), 0o666))
			must(t, os.Link(other, r.path("linked")))
			r.write("plain", "plain")
			r.start()
			if policy == watch.HardlinksReject {
				r.intake.wait(t, 1)
				waitFor(t, "two more scans", afterScans(r, 2))
				if jobs := r.intake.all(); len(jobs) != 1 || jobs[0].Filename != "plain" {
					t.Errorf("jobs: %+v", jobs)
				}
				must(t, os.Remove(other)) // now the file has only one name
				r.intake.wait(t, 2)
				return
			}
			for _, j := range r.intake.wait(t, 2) {
				if j.Filename != "linked" {
					continue
				}
				must(t, os.WriteFile(other, []byte("modified"), 0o666))
				want := "original"
				if policy == watch.HardlinksTake {
					want = "modified"
				}
				if got := r.content(j); got != want {
					t.Errorf("contents are %q, want %q", got, want)
				}
			}
		})
	}
}

// TestHardlinkChangesWhileItIsCopied writes through the other name while the file is copied.
func TestHardlinkChangesWhileItIsCopied(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, []byte("original"), 0o666))
	must(t, os.Link(other, r.path("linked")))
	var once sync.Once
	r.start(func(w *watch.Watcher) {
		w.SetStep(func(step string) {
			if step == "copied" {
				once.Do(func() { must(t, os.WriteFile(other, []byte("modified"), 0o666)) })
			}
		})
	})
	if j := r.intake.wait(t, 1)[0]; j.SHA256 != sum("modified") || r.content(j) != "modified" {
		t.Errorf("taken as %q", r.content(j))
	}
}

// TestHardlinkThatIsTooLarge has a file over the size limit: it is submitted without its contents,
// and not copied.
func TestHardlinkThatIsTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MaxFileSize = 100 })
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, make([]byte, 101), 0o666))
	must(t, os.Link(other, r.path("linked")))
	r.start()
	j := r.intake.wait(t, 1)[0]
	before, err := os.Stat(other)
	must(t, err)
	if st, err := os.Stat(r.path(j.Content.Path)); err != nil || !os.SameFile(st, before) || j.Size != 101 {
		t.Errorf("it was copied: %v; %+v", err, j)
	}
}

// TestSparseFilesStaySparse moves a sparse file larger than any disk to another file system.
func TestSparseFilesStaySparse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	archive := filepath.Join(t.TempDir(), "archive")
	must(t, os.Mkdir(archive, 0o700))
	needs.Tmpfs(t, archive, "size=4m")
	r.cfg.After.Failed = archive
	must(t, os.WriteFile(r.path("sparse"), nil, 0o666))
	must(t, os.Truncate(r.path("sparse"), 1<<40))
	f, err := os.OpenFile(r.path("sparse"), os.O_RDWR, 0)
	must(t, err)
	for _, at := range []int64{0, 1 << 39, 1<<40 - 3} {
		_, err = f.WriteAt([]byte("end"), at)
		must(t, err)
	}
	must(t, f.Close())
	r.start()
	r.outcomes.send(failure(r.intake.wait(t, 1)[0], results.TooLarge))
	r.outcomes.waitHandled(t)
	f, err = os.Open(filepath.Join(archive, "sparse"))
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	if st.Size() != 1<<40 || st.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%d bytes, %d blocks", st.Size(), st.Sys().(*syscall.Stat_t).Blocks)
	}
	for _, at := range []int64{0, 1 << 39, 1<<40 - 3} {
		b := make([]byte, 3)
		if _, err := f.ReadAt(b, at); err != nil || string(b) != "end" {
			t.Errorf("at %d there is %q, %v", at, b, err)
		}
	}
}

func TestSpoolOnAnotherMountIsRefused(t *testing.T) {
	t.Parallel()
	for _, where := range []string{".backburn", ".backburn/claimed"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			spool := r.path(where)
			must(t, os.MkdirAll(spool, 0o700))
			must(t, os.MkdirAll(r.path("elsewhere"), 0o700))
			needs.Mount(t, r.path("elsewhere"), spool, "", unix.MS_BIND, "") // another mount of the same file system
			w, err := watch.New(r.cfg, r.intake, r.outcomes, nil)
			must(t, err)
			err = w.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "another mount") {
				t.Errorf("Run returned %v", err)
			}
			found := false
			for _, f := range watch.Check(t.Context(), r.cfg) {
				found = found || f.Name == "rename" && f.Level == watch.Fail
			}
			if !found {
				t.Error("Check found nothing wrong")
			}
		})
	}
}

// TestFolderDisappearsAndReturns makes the folder disappear in various ways, and brings it back.
// Files that arrive after that are taken.
func TestFolderDisappearsAndReturns(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{watch.WatchEvents, watch.WatchPoll} {
		for _, c := range []struct {
			name    string
			lose    func(t *testing.T, dir string)
			restore func(t *testing.T, dir string)
		}{
			{
				"removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
				func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o777)) },
			},
			{
				"renamed", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".old")) },
				func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o777)) },
			},
			{
				"unmounted", func(t *testing.T, dir string) { must(t, unix.Unmount(dir, unix.MNT_DETACH)) },
				func(t *testing.T, dir string) { needs.Tmpfs(t, dir, "") },
			},
			{
				"mounted over", func(t *testing.T, dir string) { needs.Tmpfs(t, dir, "") },
				func(t *testing.T, dir string) {},
			},
			{
				"spool removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, ".backburn"))) },
				func(t *testing.T, dir string) {},
			},
			{"spool replaced", func(t *testing.T, dir string) {
				must(t, os.Rename(filepath.Join(dir, ".backburn"), filepath.Join(t.TempDir(), "away")))
				must(t, os.MkdirAll(filepath.Join(dir, ".backburn", "claimed"), 0o700))
			}, func(t *testing.T, dir string) {}},
		} {
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(cfg *watch.Config) { cfg.Watch, cfg.MinFree = mode, 0 })
				r.dir = filepath.Join(r.dir, "inbox")
				r.cfg.Path = r.dir
				must(t, os.Mkdir(r.dir, 0o777))
				if c.name == "unmounted" {
					needs.Tmpfs(t, r.dir, "")
				}
				r.write("first", "first")
				r.start()
				r.intake.wait(t, 1)
				c.lose(t, r.dir)
				if c.name == "removed" || c.name == "renamed" {
					waitFor(t, "the folder to be degraded", func() bool { return r.w.Status().State != watch.StateOK })
					if r.w.Status().Reason == "" {
						t.Error("no reason is given")
					}
				}
				c.restore(t, r.dir)
				r.write("sub/second", "second")
				if job := r.intake.wait(t, 2)[1]; job.Path != "sub/second" {
					t.Errorf("job is %+v", job)
				}
				waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
			})
		}
	}
}

// TestFolderUnmountedWhenVerdictArrives hides the folder, so that the empty mount point is watched
// when the final event arrives. The event is handled when the folder is back.
func TestFolderUnmountedWhenVerdictArrives(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MinFree = 0 })
	r.start()
	r.write("a", "a")
	job := r.intake.wait(t, 1)[0]
	needs.Tmpfs(t, r.dir, "")
	r.write("b", "b")
	r.outcomes.send(verdict(job, "malware"), verdict(r.intake.wait(t, 2)[1], "benign"))
	waitFor(t, "the other file to be done", func() bool { return len(r.tree(".backburn/done/benign")) == 1 })
	must(t, unix.Unmount(r.dir, unix.MNT_DETACH))
	waitFor(t, "the file to be done", func() bool { return len(r.tree(".backburn/done/malware")) == 1 })
	waitFor(t, "nothing to be in flight", func() bool { return r.w.Status().InFlight == 0 })
}

// TestMountInsideTheFolder mounts a disk inside the folder. Its files cannot be claimed and the
// status says so; all others are taken.
func TestMountInsideTheFolder(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{watch.WatchEvents, watch.WatchPoll} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Watch = mode })
			must(t, os.Mkdir(r.path("disk"), 0o777))
			needs.Tmpfs(t, r.path("disk"), "")
			r.write("disk/below/a", "a")
			r.start()
			r.write("disk/b", "b")
			r.write("c", "c")
			if j := r.intake.wait(t, 1)[0]; j.Path != "c" {
				t.Errorf("taken: %q", j.Path)
			}
			waitFor(t, "the status to show the mount", func() bool {
				return strings.Contains(r.w.Status().Reason, `another file system is mounted inside the folder, at or above "disk`)
			})
			if r.metric("skipped_total", "mount") == 0 {
				t.Error("the metric does not show it")
			}
		})
	}
}

// TestRestoreUnderANewMount restores a file to the watched folder itself if another file system is
// now mounted on its original folder.
func TestRestoreUnderANewMount(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.After.Benign = watch.AfterRestore })
	r.write("sub/a", "a")
	r.start()
	job := r.intake.wait(t, 1)[0]
	needs.Tmpfs(t, r.path("sub"), "")
	r.outcomes.send(verdict(job, "benign"))
	r.outcomes.waitHandled(t)
	if b, err := os.ReadFile(r.path("a")); err != nil || string(b) != "a" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestDiskFull fills a small disk. Nothing is claimed while less than min_free is free, and a copy
// that does not fit is retried.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.MinFree = 1 << 20 })
	needs.Tmpfs(t, r.dir, "size=4m")
	must(t, os.WriteFile(r.path(".ballast"), make([]byte, 3500<<10), 0o666))
	r.write("file", "x")
	r.start()
	waitFor(t, "claims to be held back", func() bool { return strings.Contains(r.w.Status().Held, "min_free") })
	waitFor(t, "scans", afterScans(r, 2))
	if n := len(r.intake.all()); n != 0 {
		t.Errorf("%d files were taken", n)
	}
	must(t, os.Remove(r.path(".ballast")))
	r.intake.wait(t, 1)
	r.stop()

	r.cfg.MinFree = 0
	must(t, os.WriteFile(r.path("linked"), make([]byte, 1500<<10), 0o666))
	must(t, os.Mkdir(r.path(".backburn/links"), 0o777))
	must(t, os.Link(r.path("linked"), r.path(".backburn/links/linked")))
	must(t, os.WriteFile(r.path(".backburn/ballast"), make([]byte, 2<<20), 0o666))
	r.start()
	waitFor(t, "the fault", func() bool { return strings.Contains(r.w.Status().Reason, "not enough free space") })
	must(t, os.Remove(r.path(".backburn/ballast")))
	r.intake.wait(t, 2)
}

// TestOverflow blocks the event loop until the kernel drops events. Only the scan that follows the
// overflow can find the files.
func TestOverflow(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	queue, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	if queue > 100_000 {
		needs.CannotRun(t, "the queue is too long to fill: max_queued_events is %d", queue)
	}
	n := queue + 4000
	staging := t.TempDir()
	for i := range n {
		must(t, os.WriteFile(filepath.Join(staging, fmt.Sprint(i)), fmt.Append(nil, i), 0o666))
	}
	r := newRig(t, func(c *watch.Config) { c.Scan, c.MaxInFlight = time.Hour, n })
	scanned, gate := make(chan struct{}, 100), make(chan struct{})
	r.start(func(w *watch.Watcher) {
		w.SetOnScan(func() { scanned <- struct{}{} })
		w.SetOnEvent(func() { <-gate })
	})
	<-scanned
	for i := range n {
		must(t, os.Rename(filepath.Join(staging, fmt.Sprint(i)), r.path(fmt.Sprint(i))))
	}
	close(gate)
	seen := map[string]bool{}
	for _, j := range r.intake.wait(t, n) {
		seen[j.Filename] = true
	}
	if len(seen) != n {
		t.Errorf("%d files were taken, want %d", len(seen), n)
	}
	select {
	case <-scanned:
	default:
		t.Error("no scan followed the overflow")
	}
}

// TestFoldersAppearWithFiles creates nested folders and files in them so fast that no event reports
// the files.
func TestFoldersAppearWithFiles(t *testing.T) {
	t.Parallel()
	n := size(t, "BACKBURN_FOLDERS", 300)
	r := newRig(t, func(c *watch.Config) { c.Scan, c.MaxInFlight = time.Hour, 10*n })
	scanned := make(chan struct{}, 100)
	r.start(func(w *watch.Watcher) { w.SetOnScan(func() { scanned <- struct{}{} }) })
	<-scanned
	for i := range n {
		for _, sub := range []string{"", "/b", "/b/c"} {
			r.write(fmt.Sprintf("%d%s/f", i, sub), fmt.Sprint(i, sub))
		}
	}
	staging := filepath.Join(t.TempDir(), "moved")
	must(t, os.MkdirAll(filepath.Join(staging, "in"), 0o777))
	must(t, os.WriteFile(filepath.Join(staging, "in", "f"), []byte("moved"), 0o666))
	must(t, os.Rename(staging, r.path("moved")))
	paths := map[string]bool{}
	for _, j := range r.intake.wait(t, 3*n+1) {
		paths[j.Path] = true
	}
	if len(paths) != 3*n+1 || !paths["moved/in/f"] {
		t.Errorf("%d files were taken, want %d", len(paths), 3*n+1)
	}
}

// TestFolderReplacedAfterClaim replaces the folder in which a file was found between the file's
// claim and its publication.
func TestFolderReplacedAfterClaim(t *testing.T) {
	t.Parallel()
	for name, exchange := range map[string]func(t *testing.T, name string){
		"nothing": func(*testing.T, string) {},
		"a link":  func(t *testing.T, name string) { must(t, os.Symlink(t.TempDir(), name)) },
		"a file":  func(t *testing.T, name string) { must(t, os.WriteFile(name, nil, 0o666)) },
		"a mount": func(t *testing.T, name string) {
			must(t, os.Mkdir(name, 0o777))
			needs.Tmpfs(t, name, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.write("sub/below/evil.exe", "evil")
			away := filepath.Join(t.TempDir(), "sub")
			var once sync.Once
			r.start(func(w *watch.Watcher) {
				w.SetStep(func(step string) {
					if step == "claimed" {
						once.Do(func() {
							must(t, os.Rename(r.path("sub"), away))
							exchange(t, r.path("sub"))
						})
					}
				})
			})
			if j := r.intake.wait(t, 1)[0]; j.Path != "sub/below/evil.exe" || r.content(j) != "evil" {
				t.Errorf("job is %+v", j)
			}
		})
	}
}
