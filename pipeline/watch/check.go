package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Level says how much a finding matters.
type Level string

// Levels of findings.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, but not as well as it could
	Fail Level = "fail" // it can't work like this
)

// Finding is what a check of a folder found out about one thing.
type Finding struct {
	Name   string `json:"name"` // folder, file_system, free_space, permissions, rename, lease, events, after
	Level  Level  `json:"level"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // what to do about it
}

// Check tries out whether a folder can be watched as configured, by doing what a watcher
// does: it writes, renames and removes empty files in the folder, and makes the spool if it
// isn't there. It does no harm while a watcher is at work.
func Check(ctx context.Context, cfg Config) []Finding {
	if err := cfg.Validate(); err != nil {
		return []Finding{{"configuration", Fail, err.Error(), "correct the configuration"}}
	}
	abs, err := filepath.Abs(cfg.Path)
	if err != nil {
		return []Finding{{"folder", Fail, err.Error(), ""}}
	}
	st, err := os.Stat(abs)
	switch {
	case err != nil:
		return []Finding{{"folder", Fail, err.Error(), "make the folder, or correct path"}}
	case !st.IsDir():
		return []Finding{{"folder", Fail, abs + " is not a folder", "name the folder that files arrive in"}}
	}
	c := checker{cfg: cfg, path: abs}
	c.add("folder", OK, abs, "")
	r, spool, err := openFolder(abs, cfg)
	if err != nil {
		c.spoolFault(err)
		return c.found
	}
	defer r.close()
	if spool != r {
		defer spool.close()
	}
	c.add("permissions", OK, "the folder can be read, and the spool written", "")
	if cfg.Claim == ClaimMove {
		c.add("rename", OK, "files can be claimed by renaming them", "")
	}
	c.fileSystem(r)
	c.lease(r, spool)
	c.events(ctx, r)
	c.after()
	return c.found
}

type checker struct {
	cfg   Config
	path  string
	found []Finding
}

func (c *checker) add(name string, l Level, detail, fix string) {
	c.found = append(c.found, Finding{name, l, detail, fix})
}

// spoolFault explains why the spool can't be used.
func (c *checker) spoolFault(err error) {
	switch {
	case isCrossDevice(err):
		c.add("rename", Fail, err.Error(), "make "+spoolDir+" a plain folder in the watched one, not a mount")
	case errors.Is(err, fs.ErrPermission):
		c.add("permissions", Fail, err.Error(),
			`let the watcher's user write to the folder, or use claim = "keep" with a state_dir`)
	default:
		c.add("permissions", Fail, err.Error(), "")
	}
}

// fileSystem judges kind and free space.
func (c *checker) fileSystem(r *root) {
	info, err := r.statFS()
	if err != nil {
		c.add("file_system", Fail, err.Error(), "")
		return
	}
	if info.remote {
		c.add("file_system", Warn, info.kind+": a network file system; writers on other machines can't be seen, and changes are found by scans alone",
			fmt.Sprintf("raise settle above the time that attributes are cached (NFS: acregmax, 60s), or use done_file; files wait %d times settle here", patient))
	} else {
		c.add("file_system", OK, info.kind, "")
	}
	detail := fmt.Sprintf("%d MiB of %d MiB", info.free>>20, info.total>>20)
	if info.full(c.cfg.MinFree) {
		c.add("free_space", Fail, detail, fmt.Sprintf("nothing is claimed below min_free (%d MiB)", c.cfg.MinFree>>20))
		return
	}
	c.add("free_space", OK, detail, "")
}

// lease tries whether the kernel tells us about writers: of a file of our own, and of one
// that lies in the folder, which may be somebody else's.
func (c *checker) lease(r, spool *root) {
	const fix = "run the watcher as the owner of the files, or give it CAP_LEASE (systemd: AmbientCapabilities=CAP_LEASE)"
	inside := tmpDir + "/" + newID(time.Now(), rootTag)
	w, err := spool.create(inside)
	if err != nil {
		c.add("lease", Fail, err.Error(), "")
		return
	}
	defer spool.remove(inside)
	busy, err := askWriter(spool, inside)
	w.Close()
	if err == nil && busy != writerBusy {
		err = errors.New("a writer was not noticed")
	}
	if err == nil {
		var free writerState
		if free, err = askWriter(spool, inside); err == nil && free != writerNone {
			err = errors.New("a writer was seen where there is none")
		}
	}
	blind := fmt.Sprintf("; files are taken after %d times settle without knowing about writers", patient)
	if err != nil {
		c.add("lease", Warn, "can't tell whether files are open for writing: "+err.Error()+blind, "")
		return
	}
	d, err := r.openDir("")
	if err != nil {
		c.add("lease", Warn, err.Error(), "")
		return
	}
	defer d.Close()
	entries, _ := d.ReadDir(scanBatch) // what can't be read here is found by the watcher
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if state, err := askWriter(r, e.Name()); err != nil || state == writerUnknown {
			c.add("lease", Warn, fmt.Sprintf("can't tell whether %q is open for writing: %v%s", e.Name(), err, blind), fix)
			return
		}
	}
	c.add("lease", OK, "files that are open for writing are noticed", "")
}

func askWriter(r *root, rel string) (writerState, error) {
	f, err := r.open(rel)
	if err != nil {
		return writerUnknown, err
	}
	defer f.Close()
	return f.writer()
}

// events tries whether the system reports changes, and whether its limits suffice.
func (c *checker) events(ctx context.Context, r *root) {
	info, err := r.statFS()
	if c.cfg.Watch == WatchPoll || (c.cfg.Watch == WatchAuto && (err != nil || info.remote || !eventsByDefault)) {
		c.add("events", OK, fmt.Sprintf("not used; the folder is scanned every %s", c.cfg.Scan), "")
		return
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		c.add("events", Warn, "can't be had: "+err.Error(), eventLimits(0).fix)
		return
	}
	defer n.Close()
	if err := n.Add(c.path); err != nil {
		c.add("events", Warn, "can't be had: "+err.Error(), "sysctl fs.inotify.max_user_watches=1048576")
		return
	}
	folders := 1
	if c.cfg.Recursive {
		folders = countFolders(ctx, c.path)
	}
	limits := eventLimits(folders)
	level := OK
	if limits.fix != "" {
		level = Warn
	}
	c.add("events", level, limits.detail, limits.fix)
}

// limits is what the system allows, in words.
type limits struct{ detail, fix string }

// countFolders counts the folders to watch, up to a million.
func countFolders(ctx context.Context, dir string) int {
	n := 0
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error { // faults mean fewer folders
		switch {
		case ctx.Err() != nil || n >= 1_000_000:
			return fs.SkipAll
		case err != nil:
			return nil
		case d.IsDir() && p == filepath.Join(dir, spoolDir):
			return fs.SkipDir
		case d.IsDir():
			n++
		}
		return nil
	})
	return n
}

// after tries whether files can be moved to the folders that After names.
func (c *checker) after() {
	for key, action := range map[string]string{
		"after.benign": c.cfg.After.Benign, "after.malicious": c.cfg.After.Malicious, "after.failed": c.cfg.After.Failed,
	} {
		if action == AfterKeep || action == AfterDelete || action == AfterRestore {
			continue
		}
		err := os.MkdirAll(action, 0o700)
		if err == nil {
			var f *os.File
			if f, err = os.CreateTemp(action, spoolDir+"-*"); err == nil {
				err = errors.Join(f.Close(), os.Remove(f.Name()))
			}
		}
		if err != nil {
			c.add("after", Fail, key+": "+err.Error(), "let the watcher's user write to the folder")
		} else {
			c.add("after", OK, key+": files can be moved to "+action, "")
		}
	}
}
