package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/spool"
)

// folder is the open watched folder, with what all parts of a session share.
type folder struct {
	w           *Watcher
	cfg         Config
	root        *rootfs.Root // the watched folder
	spool       *spool.Spool
	stateRoot   *rootfs.Root    // holds the spool: root or, if Config.StateDir is set, the folder Config.Source in it
	spoolInside bool            // the spool is in the watched folder, so files can be claimed into it
	id          string          // identifies this folder
	dev         uint64          // device number
	remote      bool            // it is on a network file system
	claimedDir  rootfs.Identity // the folder of claimed files
}

// eventsByDefault reports whether Watch = "auto" uses file system events. It does not on macOS:
// kqueue opens every file of a folder, rereads the whole folder after each change, and gives up
// when a name vanishes, which every claim causes.
const eventsByDefault = runtime.GOOS != "darwin"

// openFolder opens the watched folder and its spool. The caller closes it.
func openFolder(w *Watcher) (f *folder, err error) {
	root, state, err := openRoots(w.path, w.cfg)
	if err != nil {
		return nil, err
	}

	f = &folder{
		w:           w,
		cfg:         w.cfg,
		root:        root,
		stateRoot:   state,
		spoolInside: root == state,
	}
	if f.spool, err = spool.Open(state); err == nil {
		err = f.readProperties()
	}
	if err != nil {
		f.close()
		if !f.spoolInside {
			err = fmt.Errorf("state_dir: %w", err)
		}
		return nil, err
	}

	return f, nil
}

// openRoots opens the watched folder and the folder that holds the spool. They are the same unless
// Config.StateDir is set.
func openRoots(name string, cfg Config) (root, state *rootfs.Root, err error) {
	if st, err := os.Stat(name); err == nil && !st.IsDir() {
		return nil, nil, fmt.Errorf("%w: not a folder; set path to the folder in which files arrive", ErrUnusable)
	}
	if root, err = rootfs.Open(name, rootfs.OneMount()); err != nil {
		return nil, nil, err
	}
	if cfg.StateDir == "" {
		return root, root, nil
	}

	state, err = openOrMake(filepath.Join(cfg.StateDir, cfg.Source), rootfs.OneMount())
	if err != nil {
		root.Close()
		return nil, nil, fmt.Errorf("state_dir: %w", err)
	}

	return root, state, nil
}

// readProperties reads the fields of folder that do not change while it is open.
func (f *folder) readProperties() error {
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
	f.claimedDir = st.Identity

	f.id, err = f.spool.FolderID()

	return err
}

func (f *folder) close() {
	if f.spool != nil {
		f.spool.Close()
	}
	if f.stateRoot != f.root {
		f.stateRoot.Close()
	}
	f.root.Close()
}

// relativeIdentity makes an identity relative to the folder: it clears the device number if it is
// the folder's own, because device numbers can change at a restart.
func (f *folder) relativeIdentity(i rootfs.Identity) rootfs.Identity {
	if i.Dev == f.dev {
		i.Dev = 0
	}

	return i
}

// reportFault records a fault of a part of the work, which is retried. It ignores errors after the
// end of ctx.
func (f *folder) reportFault(ctx context.Context, part string, err error) {
	if ctx.Err() == nil {
		f.w.health.set(part, part+": "+err.Error())
	}
}

// reportError records an error as the trouble of a file if it concerns only that file, and otherwise
// as a fault of a part of the work.
func (f *folder) reportError(ctx context.Context, rel, what, part string, err error) {
	if isFileFault(err) {
		f.reportTrouble(ctx, rel, what, err)
	} else {
		f.reportFault(ctx, part, err)
	}
}

// reportTrouble records a fault of a single file.
func (f *folder) reportTrouble(ctx context.Context, rel, what string, err error) {
	if ctx.Err() == nil {
		f.w.troubles.record(rel, what, err, f.w.clock())
	}
}

// reportOwnFile records that a file in the folder belongs to Backburn itself.
func (f *folder) reportOwnFile(ctx context.Context, rel string, err error) {
	f.w.m.deferred["own"].Inc()
	f.reportTrouble(ctx, rel, isLeftAlone, err)
}

// isMount reports whether the error says that a file is on another mount than the folder.
func isMount(err error) bool { return errors.Is(err, rootfs.ErrOtherMount) }

// reportMount records that files at rel cannot be taken because they are on another mount.
func (f *folder) reportMount(rel string) {
	f.w.m.skipped["mount"].Inc()
	f.w.health.set("mount", fmt.Sprintf("another file system is mounted inside the folder, at or above %q; watch it as a folder of its own", rel))
}

// newJob returns a job with the fields that do not depend on how the file was claimed.
func (f *folder) newJob(id, rel string, st rootfs.State) pipeline.Job {
	job := pipeline.Job{
		ID:       id,
		Source:   f.cfg.Source,
		Priority: f.cfg.Priority,
		Version:  1,
		Kind:     pipeline.KindFile,
		Size:     st.Size,
		Content:  &pipeline.Content{},
	}
	job.Filename, job.FilenameB64 = pipeline.EncodeName(filepath.Base(rel))
	job.Path, job.PathB64 = pipeline.EncodeName(rel)

	return job
}
