package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

// Level says how much a finding matters.
type Level string

// Levels of findings.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, with a limitation
	Fail Level = "fail" // it does not work
)

// Finding is the result of checking one aspect of a folder.
type Finding struct {
	Name   string `json:"name"` // configuration, folder, file_system, free_space, permissions, rename, lease, events, after
	Level  Level  `json:"level"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // what to do about it
}

// Check tests whether a folder can be watched as configured. It does what a watcher does: it
// writes, renames and removes empty files in the folder and in those of Config.After, and creates
// these folders, Config.StateDir and the spool if they are missing. It never creates the watched
// folder. It is safe while a watcher is running.
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
		return []Finding{{"folder", Fail, err.Error(), "create the folder, or correct the key path"}}
	case !st.IsDir():
		return []Finding{{"folder", Fail, abs + " is not a folder", "set path to the folder in which files arrive"}}
	}
	c := checker{cfg: cfg, path: abs}
	c.add("folder", OK, abs, "")
	f, err := openFolder(&Watcher{cfg: cfg, path: abs})
	if err != nil {
		c.spoolFault(err)
		return c.found
	}
	defer f.close()
	c.add("permissions", OK, "the folder is readable, and the spool is writable", "")
	if cfg.Claim == ClaimMove {
		c.add("rename", OK, "files can be claimed by renaming them", "")
	}
	c.fileSystem(f.root)
	c.lease(f)
	c.events(ctx, f.root)
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

// spoolFault adds a finding about why the spool cannot be used.
func (c *checker) spoolFault(err error) {
	switch {
	case isMount(err):
		c.add("rename", Fail, err.Error(), "make "+spool.Dir+" an ordinary folder inside the watched one, not a mount")
	case errors.Is(err, fs.ErrPermission):
		c.add("permissions", Fail, err.Error(),
			`let the watcher's user read and write the folder, or use claim = "keep" with a state_dir`)
	default:
		c.add("permissions", Fail, err.Error(), "")
	}
}

// fileSystem checks the file system's type and free space.
func (c *checker) fileSystem(r *rootfs.Root) {
	info, err := r.FileSystem()
	if err != nil {
		c.add("file_system", Fail, err.Error(), "")
		return
	}
	if info.Remote {
		c.add("file_system", Warn, info.Kind+": a network file system; writers on other machines cannot be detected, and changes are found only by scans",
			fmt.Sprintf("files wait %d times settle here, which must be longer than the system caches attributes (NFS: acregmax, 60s): raise settle, or use done_file", settle.BlindFactor))
	} else {
		c.add("file_system", OK, info.Kind, "")
	}
	detail := fmt.Sprintf("%d MiB of %d MiB", info.Free>>20, info.Total>>20)
	if info.Full(c.cfg.MinFree) {
		c.add("free_space", Fail, detail, fmt.Sprintf("free some space, or lower min_free: no files are claimed while less than %d MiB is free", c.cfg.MinFree>>20))
		return
	}
	c.add("free_space", OK, detail, "")
}

// leaseSamples is how many entries of a folder lease examines, to find out whether the writers of
// its files can be detected.
const leaseSamples = 512

// lease checks that writers are detected: those of a file that lease creates, and those of files
// that are already in the folder and may belong to other users. It also checks that these files can
// be opened.
func (c *checker) lease(f *folder) {
	const fix = "run the watcher as the owner of the files, or give it CAP_LEASE (systemd: AmbientCapabilities=CAP_LEASE)"
	inside := f.spool.Temp()
	w, err := f.spool.Create(inside)
	if err != nil {
		c.add("lease", Fail, err.Error(), "")
		return
	}
	defer func() { _ = f.spool.Remove(inside) }()
	busy, err := askWriter(f.spool.Root, inside)
	w.Close()
	if err == nil && busy != rootfs.HasWriter {
		err = errors.New("a file open for writing was not detected")
	}
	if err == nil {
		var free rootfs.Writer
		if free, err = askWriter(f.spool.Root, inside); err == nil && free != rootfs.NoWriter {
			err = errors.New("a writer was reported for a file that nobody has open")
		}
	}
	consequence := fmt.Sprintf("; files are claimed after %d times settle instead", settle.BlindFactor)
	if err != nil {
		c.add("lease", Warn, "cannot tell whether files are open for writing: "+err.Error()+consequence, "")
		return
	}
	entries := 0
	unreadable := false
	for e, err := range f.root.Entries("") {
		if err != nil {
			c.add("lease", Warn, err.Error(), "")
			return
		}
		entries++
		if entries > leaseSamples {
			break
		}
		if !e.Type().IsRegular() {
			continue
		}
		file, err := f.root.Open(e.Name())
		switch {
		case rootfs.IsGone(err), rootfs.CauseOf(err) == rootfs.Busy:
			continue // claimed, or opened for writing, at this moment
		case err != nil:
			if !unreadable {
				c.add("permissions", Warn, fmt.Sprintf("%q %s: %v", e.Name(), cannotOpen, err), remedies[cannotOpen])
			}
			unreadable = true
			continue
		}
		_, err = file.Writer()
		file.Close()
		if err != nil {
			c.add("lease", Warn, fmt.Sprintf("cannot tell whether %q is open for writing: %v%s", e.Name(), err, consequence), fix)
			return
		}
	}
	c.add("lease", OK, "files that are open for writing are detected", "")
}

func askWriter(r *rootfs.Root, rel string) (rootfs.Writer, error) {
	f, err := r.Open(rel)
	if err != nil {
		return rootfs.UnknownWriter, err
	}
	defer f.Close()

	return f.Writer()
}

// events checks whether file system events work, and whether the system's limits are high enough.
func (c *checker) events(ctx context.Context, r *rootfs.Root) {
	info, err := r.FileSystem()
	if c.cfg.Watch == WatchPoll || (c.cfg.Watch == WatchAuto && (err != nil || info.Remote || !eventsByDefault)) {
		c.add("events", OK, fmt.Sprintf("not used; the folder is scanned every %s", c.cfg.Scan), "")
		return
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		_, fix := eventLimits(0)
		c.add("events", Warn, "not available: "+err.Error(), fix)
		return
	}
	defer n.Close()
	if err := n.Add(c.path); err != nil {
		c.add("events", Warn, "not available: "+err.Error(), "sysctl fs.inotify.max_user_watches=1048576")
		return
	}
	folders := 1
	if c.cfg.Recursive {
		folders = countFolders(ctx, c.path)
	}
	detail, fix := eventLimits(folders)
	level := OK
	if fix != "" {
		level = Warn
	}
	c.add("events", level, detail, fix)
}

// countFolders counts the folders to watch, up to one million.
func countFolders(ctx context.Context, dir string) int {
	n := 0
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil || n >= 1_000_000:
			return fs.SkipAll
		case err != nil:
			return nil //nolint:nilerr // a folder that cannot be read is not counted
		case d.IsDir() && p == filepath.Join(dir, spool.Dir):
			return fs.SkipDir
		case d.IsDir():
			n++
		}
		return nil
	})

	return n
}

// after checks that files can be moved to the folders in After.
func (c *checker) after() {
	for i, action := range c.cfg.After.actions() {
		key := [...]string{"after.benign", "after.malicious", "after.failed"}[i]
		if !isFolder(action) {
			continue
		}
		out, err := openOrMake(action)
		if err == nil {
			out.Close()
			var f *os.File
			if f, err = os.CreateTemp(action, spool.Dir+"-*"); err == nil {
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
