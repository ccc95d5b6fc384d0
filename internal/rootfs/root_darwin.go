package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// openFlags prevent an open from blocking or following a link.
	openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY
	// ClosesBeforeRename says whether a file must be closed before it is renamed.
	ClosesBeforeRename = false

	errLoop        = unix.ELOOP
	errNotDir      = unix.ENOTDIR
	errCrossDevice = unix.EXDEV
)

func (r *Root) lstat(rel string) (State, error) {
	info, err := r.r.Lstat(rel)
	if err != nil {
		return State{}, err
	}

	return stateOf(info)
}

// StatPath returns the state of a file or folder by a name that the operator chose.
func StatPath(name string) (State, error) {
	info, err := os.Stat(name)
	if err != nil {
		return State{}, err
	}

	return stateOf(info)
}

func stateOfFile(f *os.File) (State, error) {
	info, err := f.Stat()
	if err != nil {
		return State{}, err
	}

	return stateOf(info)
}

func stateOf(info fs.FileInfo) (State, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return State{}, fmt.Errorf("stat %s: the system returns no inode", info.Name())
	}

	return State{
		Identity: Identity{Dev: uint64(uint32(st.Dev)), Ino: st.Ino, Birth: st.Birthtimespec.Nano()},
		Stamp:    Stamp{Size: st.Size, Mtime: st.Mtimespec.Nano(), Ctime: st.Ctimespec.Nano()},
		Dir:      info.IsDir(),
		Regular:  info.Mode().IsRegular(),
		Links:    uint64(st.Nlink),
		UID:      st.Uid,
		Perm:     info.Mode().Perm(),
	}, nil
}

// checkLinks returns an error that matches ErrForeignLink if a name leads through a link of another
// user. A missing component has none.
func checkLinks(name string) error {
	abs, err := filepath.Abs(name)
	if err != nil {
		return err
	}

	folder, rest := "/", strings.Split(strings.Trim(abs, "/"), "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(folder, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return nil //nolint:nilerr // opening it fails, too, or creates it
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			folder = next
			continue
		}

		st, ok := info.Sys().(*syscall.Stat_t)
		switch links++; {
		case links > maxLinks:
			return unix.ELOOP
		case ok && !isOwn(st.Uid):
			return foreignLink(next, st.Uid)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			folder = "/"
		}
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}

	return nil
}

// renamePath renames a file. It returns fs.ErrExist instead of replacing another. On a file system
// that does not support this, it replaces a file that appears between its check and the rename.
func renamePath(from, to string) error {
	err := unix.RenamexNp(from, to, unix.RENAME_EXCL)
	if errors.Is(err, unix.ENOTSUP) { // the file system does not support it: check first
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

// syncDir makes the entries of an open folder durable.
func syncDir(d *os.File) error { return d.Sync() }

// Sync makes the contents durable (Go uses F_FULLFSYNC).
func (f *File) Sync() error { return f.File.Sync() }

// Writer is unsupported here: macOS has no leases.
func (f *File) Writer() (Writer, error) {
	return UnknownWriter, errors.New("macOS cannot detect writers")
}

// SeesWriters reports whether this process can detect the writers of files.
func SeesWriters() bool { return false }

// FileSystem returns the properties of the file system.
func (r *Root) FileSystem() (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(r.dir.Fd()), &st); err != nil {
		return FileSystem{}, fmt.Errorf("statfs: %w", err)
	}

	return FileSystem{
		Kind:   unix.ByteSliceToString(st.Fstypename[:]),
		Remote: st.Flags&unix.MNT_LOCAL == 0,
		Free:   int64(st.Bavail) * int64(st.Bsize),
		Total:  int64(st.Blocks) * int64(st.Bsize),
	}, nil
}
