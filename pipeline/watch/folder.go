package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"backburn/internal/rootfs"
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

// openOrMake opens a folder that the operator named, and creates it if it is missing.
func openOrMake(name string, opts ...rootfs.Option) (*rootfs.Root, error) {
	r, err := rootfs.Open(name, opts...)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}

	return rootfs.Open(name, opts...)
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
