package watch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/pipeline/watch"
)

// waitForTrouble waits until a file is reported as being in trouble, and checks that nothing else
// is wrong.
func (r *rig) waitForTrouble(path string) watch.Trouble {
	r.t.Helper()
	var found watch.Trouble
	waitFor(r.t, path+" to be reported", func() bool {
		for _, trouble := range r.w.Status().Troubles {
			if trouble.Path == path {
				found = trouble
				return true
			}
		}
		return false
	})
	if s := r.w.Status(); s.State != watch.StateOK {
		r.t.Errorf("the folder is %s: %s", s.State, s.Reason)
	}
	if n := r.gauge("troubled_files"); n != 1 {
		r.t.Errorf("the metric is %v", n)
	}
	if parts := r.faultyParts(); len(parts) != 0 {
		r.t.Errorf("these parts are not ok: %q", parts)
	}

	return found
}

// TestFileInPlaceOfAfterFolder has a file in place of the folder for finished files. That is a
// fault of the watched folder, and ends with the next success.
func TestFileInPlaceOfAfterFolder(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(archive, nil, 0o600))
	r := newRig(t, func(c *watch.Config) { c.After.Benign = archive })
	r.write("a", "x")
	r.start()
	r.outcomes.send(verdict(r.intake.wait(t, 1)[0], "benign"))
	waitFor(t, "the fault", func() bool { return strings.Contains(r.w.Status().Reason, archive) })
	if parts := r.faultyParts(); !slices.Equal(parts, []string{"folder_after of test is failed"}) || r.w.Status().State != watch.StateFailed {
		t.Errorf("the metric is %q, and the state is %s", parts, r.w.Status().State)
	}

	must(t, os.Remove(archive))
	r.outcomes.waitHandled(t)
	if s := r.w.Status(); s.State != watch.StateOK || len(r.faultyParts()) != 0 {
		t.Errorf("after the repair the state is %s (%s), and the metric is %q", s.State, s.Reason, r.faultyParts())
	}
}

// TestPathIsTooLong has a file with a path too long for a job.
func TestPathIsTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.StaleAfter = 50 * time.Millisecond })
	root, err := os.OpenRoot(r.dir)
	must(t, err)
	rel := ""
	for len(rel) <= 4096 {
		component := strings.Repeat("d", 200)
		must(t, root.Mkdir(component, 0o777))
		below, err := root.OpenRoot(component)
		must(t, err)
		root.Close()
		root = below
		rel = strings.TrimPrefix(rel+"/"+component, "/")
	}
	f, err := root.Create("deep")
	must(t, err)
	f.Close()
	root.Close()
	r.write("shallow", "x")
	r.start()

	r.intake.wait(t, 1)
	if trouble := r.waitForTrouble(rel); !strings.Contains(trouble.Reason, "too long") {
		t.Errorf("reported: %+v", trouble)
	}
}

// TestEmptyFilesWait has an empty file, like those with which browsers reserve a name. It waits
// like a file with a temporary name, until it has contents.
func TestEmptyFilesWait(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{watch.WatchEvents, watch.WatchPoll} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.StaleAfter, c.Watch = time.Hour, mode })
			r.write("download.iso", "")
			r.write("other", "x")
			r.start()
			r.intake.wait(t, 1)
			waitFor(t, "scans", afterScans(r, 20)) // far longer than five times settle
			if jobs := r.intake.all(); len(jobs) != 1 {
				t.Fatalf("taken: %+v", jobs)
			}
			if n := r.metric("deferred_total", "empty"); n == 0 {
				t.Error("the metrics do not say why it waits")
			}
			r.write("download.iso", "contents")
			if j := r.intake.wait(t, 2)[1]; j.Filename != "download.iso" || j.Size != 8 {
				t.Errorf("taken: %+v", j)
			}
		})
	}
}

// TestEmptyFilesAreTakenAfterStaleAfter has a file that stays empty.
func TestEmptyFilesAreTakenAfterStaleAfter(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.StaleAfter = 100 * time.Millisecond })
	r.write("empty", "")
	r.start()
	if j := r.intake.wait(t, 1)[0]; j.Size != 0 || j.SHA256 != sum("") {
		t.Errorf("taken: %+v", j)
	}
}

// TestSidecarNameIsTaken has something in the folder for finished files that cannot be read as a
// sidecar and has the sidecar's name. The file and its sidecar get a number.
func TestSidecarNameIsTaken(t *testing.T) {
	t.Parallel()
	for what, put := range map[string]func(name string) error{
		"folder": func(name string) error { return os.Mkdir(name, 0o700) },
		"text":   func(name string) error { return os.WriteFile(name, []byte("text"), 0o600) },
		"large": func(name string) error {
			return os.WriteFile(name, []byte(strings.Repeat(" ", 2<<20)), 0o600)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			archive := t.TempDir()
			must(t, put(filepath.Join(archive, "a.exe.json")))
			r := newRig(t, func(c *watch.Config) { c.After.Benign, c.Sidecar = archive, true })
			r.write("a.exe", "x")
			r.start()
			r.outcomes.send(verdict(r.intake.wait(t, 1)[0], "benign"))
			waitFor(t, "the file", func() bool {
				_, err := os.Stat(filepath.Join(archive, "a.1.exe"))
				return err == nil
			})
			if _, err := os.Stat(filepath.Join(archive, "a.1.exe.json")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFileThatCannotBeSynced(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, name := range []string{"a", "-b", "c"} {
		r.write(name, name)
	}
	errs := watch.SyncTogether(t, r.dir, "a", "-b", "c")
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors: %v", errs)
	}
}
