package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

// folder is the watched folder as it is held open, and what all parts of the work on it share.
type folder struct {
	w       *Watcher
	cfg     Config
	root    *rootfs.Root // the watched folder
	spool   *spool.Spool
	state   *rootfs.Root    // what the spool is in: root, unless Config.StateDir says otherwise
	inside  bool            // the spool is in the watched folder, and files can be claimed into it
	id      string          // the folder's own
	dev     uint64          // its device
	remote  bool            // the file system is
	claimed rootfs.Identity // of the folder of claimed files
	mounted atomic.Bool     // another mount was met in this scan
}

// eventsByDefault says whether Watch = "auto" uses file system events. On macOS kqueue opens
// every file of a folder and reads the whole folder for every change in it, and gives up half-way
// when a name has vanished, which claiming makes happen all the time. So polling is the default.
const eventsByDefault = runtime.GOOS != "darwin"

// scanBatch is how many entries of a folder are read at once.
const scanBatch = 512

// openFolder opens the watched folder and its spool. The caller closes it.
func openFolder(w *Watcher) (f *folder, err error) {
	root, state, err := openRoots(w.path, w.cfg)
	if err != nil {
		return nil, err
	}

	f = &folder{
		w:      w,
		cfg:    w.cfg,
		root:   root,
		state:  state,
		inside: root == state,
	}
	if f.spool, err = spool.Open(state); err == nil {
		err = f.look()
	}
	if err != nil {
		f.close()
		if !f.inside {
			err = fmt.Errorf("state_dir: %w", err)
		}
		return nil, err
	}

	return f, nil
}

// openRoots opens the watched folder, and the folder that the spool is in: the same, unless
// Config.StateDir names another.
func openRoots(name string, cfg Config) (root, state *rootfs.Root, err error) {
	if st, err := os.Stat(name); err == nil && !st.IsDir() {
		return nil, nil, fmt.Errorf("%w: it is not a folder; name the folder that files arrive in", ErrUnusable)
	}
	if root, err = rootfs.Open(name, rootfs.OneMount()); err != nil {
		return nil, nil, err
	}
	if cfg.StateDir == "" {
		return root, root, nil
	}

	dir := filepath.Join(cfg.StateDir, cfg.Source)
	if err = os.MkdirAll(dir, 0o700); err == nil {
		state, err = rootfs.Open(dir, rootfs.OneMount())
	}
	if err != nil {
		root.Close()
		return nil, nil, fmt.Errorf("state_dir: %w", err)
	}

	return root, state, nil
}

// look finds out what does not change while the folder is open.
func (f *folder) look() error {
	info, err := f.root.FileSystem()
	if err != nil {
		return err
	}
	f.remote = info.Remote

	st, err := f.root.Stat()
	if err != nil {
		return err
	}
	f.dev = st.Dev

	if st, err = f.spool.Lstat(spool.Claimed); err != nil {
		return err
	}
	f.claimed = st.Identity

	f.id, err = f.spool.FolderID()

	return err
}

func (f *folder) close() {
	if f.spool != nil {
		f.spool.Close()
	}
	if f.state != f.root {
		f.state.Close()
	}
	f.root.Close()
}

// own makes an identity one within the folder: its device counts only where it is another
// than the folder's own, since the numbers of devices change with restarts.
func (f *folder) own(i rootfs.Identity) rootfs.Identity {
	if i.Dev == f.dev {
		i.Dev = 0
	}

	return i
}

// at tells a test how far a file has come.
func (f *folder) at(step string) { f.w.at(step) }

// part notes a fault in one part of the work, which leaves the rest going, or its end.
func (f *folder) part(name, reason string) { f.w.health.part(name, reason) }

// fault notes that something went wrong in a part that is tried again. At the end of ctx things
// go wrong by themselves.
func (f *folder) fault(ctx context.Context, part string, err error) {
	if ctx.Err() == nil {
		f.part(part, part+": "+err.Error())
	}
}

// troubled notes that something is wrong with one file alone.
func (f *folder) troubled(ctx context.Context, rel, what string, err error) {
	if ctx.Err() == nil {
		f.w.troubles.note(rel, what, err, f.w.clock())
	}
}

// leftAlone notes that something in the folder is Backburn's own.
func (f *folder) leftAlone(ctx context.Context, rel string, err error) {
	f.w.m.deferred["own"].Inc()
	f.troubled(ctx, rel, isOurs, err)
}

// patience is how long a claimed file must not have changed that was not left alone for long
// enough before.
func (f *folder) patience(blind bool) time.Duration {
	if f.remote || blind {
		return f.cfg.Settle * settle.Patient
	}

	return f.cfg.Settle
}

// isMount reports whether something is on another mount than the folder.
func isMount(err error) bool { return errors.Is(err, rootfs.ErrOtherMount) }

// mountedAt notes what cannot be taken since it is on another mount.
func (f *folder) mountedAt(rel string) {
	f.mounted.Store(true)
	f.w.m.skipped["mount"].Inc()
	f.part("mount", fmt.Sprintf("another file system is mounted inside the folder, at or above %q; watch it as a folder of its own", rel))
}

// describe is the part of a job that does not depend on how the file was claimed.
func (f *folder) describe(id, rel string, st rootfs.State) pipeline.Job {
	job := pipeline.Job{
		ID:       id,
		Source:   f.cfg.Source,
		Priority: f.cfg.Priority,
		Version:  1,
		Kind:     pipeline.KindFile,
		Size:     st.Size,
		Content:  &pipeline.Content{},
	}
	job.Filename, job.FilenameB64 = pipeline.Name(filepath.Base(rel))
	job.Path, job.PathB64 = pipeline.Name(rel)

	return job
}

// errUnsettled says that a file cannot be published yet: somebody is still writing to it, or did so
// while it was read.
var errUnsettled = errors.New("still being written")

// unchanged returns errUnsettled if a file is not as it was, or has a writer.
func unchanged(f *rootfs.File, before rootfs.State) error {
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if !after.Same(before) {
		return errUnsettled
	}
	if w, _ := f.Writer(); w == rootfs.HasWriter {
		return errUnsettled
	}

	return nil
}
