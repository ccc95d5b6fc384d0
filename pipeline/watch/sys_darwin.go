package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// openFlags keep an open from blocking or following a link.
	openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY
	// closesBeforeRename says whether an open file can't be renamed.
	closesBeforeRename = false
	// eventsByDefault says whether Watch = "auto" uses file system events. kqueue opens
	// every file of a folder and reads the whole folder for every change in it, and gives
	// up half-way when a name has vanished, which claiming makes happen all the time. So
	// polling is the default.
	eventsByDefault = false
)

// lstat looks at rel without opening it.
func (r *root) lstat(rel string) (fileState, error) {
	if rel == "" {
		return r.stat()
	}
	info, err := r.r.Lstat(rel)
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info)
}

// statPath looks at a folder by its name.
func statPath(name string) (fileState, error) {
	info, err := os.Stat(name)
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info)
}

func stateOfFile(f *os.File) (fileState, error) {
	info, err := f.Stat()
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info)
}

func stateOf(info fs.FileInfo) (fileState, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}, fmt.Errorf("stat %s: the system tells no inode", info.Name())
	}
	return fileState{
		identity: identity{dev: uint64(uint32(st.Dev)), ino: st.Ino, btime: st.Birthtimespec.Nano()},
		stamp:    stamp{size: st.Size, mtime: st.Mtimespec.Nano(), ctime: st.Ctimespec.Nano()},
		dir:      info.IsDir(),
		regular:  info.Mode().IsRegular(),
		nlink:    uint64(st.Nlink),
		uid:      st.Uid,
	}, nil
}

// privateTo reports whether the folder rel belongs to us (or to root), and its permissions.
func (r *root) privateTo(rel string) (ours bool, perm fs.FileMode, err error) {
	info, err := r.r.Lstat(rel)
	if err != nil {
		return false, 0, err
	}
	st, err := stateOf(info)
	return st.uid == 0 || int(st.uid) == os.Geteuid(), info.Mode().Perm(), err
}

// renamePath renames a file; it never overwrites and fails with fs.ErrExist.
func renamePath(from, to string) error {
	err := unix.RenamexNp(from, to, unix.RENAME_EXCL)
	if errors.Is(err, unix.ENOTSUP) { // a file system that doesn't know it: look first
		if _, err := os.Lstat(to); err == nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
		}
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncPath makes the entries of a folder durable.
func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sync makes the contents durable (Go uses F_FULLFSYNC).
func (f *file) sync() error { return f.Sync() }

// writer can't be answered here: macOS has no leases.
func (f *file) writer() (writerState, error) {
	return writerUnknown, errors.New("macOS can't tell")
}

// statFS asks the file system about itself.
func (r *root) statFS() (fsInfo, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(r.dir.Fd()), &st); err != nil {
		return fsInfo{}, fmt.Errorf("statfs: %w", err)
	}
	return fsInfo{
		kind:   unix.ByteSliceToString(st.Fstypename[:]),
		remote: st.Flags&unix.MNT_LOCAL == 0,
		free:   int64(st.Bavail) * int64(st.Bsize),
		total:  int64(st.Blocks) * int64(st.Bsize),
	}, nil
}

func isCrossDevice(err error) bool { return errors.Is(err, unix.EXDEV) }
func isTooLong(err error) bool     { return errors.Is(err, unix.ENAMETOOLONG) }
func isNoSpace(err error) bool     { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
func isNotDir(err error) bool      { return errors.Is(err, unix.ENOTDIR) }
