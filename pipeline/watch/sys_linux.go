package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// root is the watched folder, held open: it stays the same folder whatever becomes of its
// name. All names are resolved beneath it without following links. Safe for concurrent
// use until close.
type root struct {
	path string
	fd   int
	kept map[string]int // folders of the spool that are held open, by name
}

// openRoot opens the folder. Links in its own name are the operator's choice and followed.
func openRoot(name string) (*root, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &root{path: name, fd: fd, kept: map[string]int{}}, nil
}

// keep holds the folder rel open, so that names in it are resolved at no cost.
func (r *root) keep(rel string) error {
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	r.kept[rel] = fd
	return nil
}

func (r *root) close() {
	for _, fd := range r.kept {
		unix.Close(fd)
	}
	unix.Close(r.fd)
}

// openat opens rel beneath the folder; no component of it may be a link or another mount.
func (r *root) openat(rel string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(r.fd, rel, &how)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename elsewhere disturbed the resolution
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // before Linux 5.6, or filtered by seccomp
			return r.walk(rel, flags)
		}
		return -1, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
}

// walk is openat where the kernel has no openat2: one component at a time.
func (r *root) walk(rel string, flags int) (int, error) {
	at := r.fd
	for {
		name, rest, more := strings.Cut(rel, "/")
		if name == "" || name == ".." {
			return -1, &fs.PathError{Op: "open", Path: rel, Err: unix.EINVAL}
		}
		f := flags
		if more {
			f = unix.O_PATH | unix.O_DIRECTORY
		}
		fd, err := unix.Openat(at, name, f|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if at != r.fd {
			unix.Close(at)
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: rel, Err: err}
		}
		if !more {
			return fd, nil
		}
		at, rel = fd, rest
	}
}

// parent returns the folder that rel is in. The caller closes fd if owned.
func (r *root) parent(rel string) (fd int, base string, owned bool, err error) {
	dir, base := path.Split(rel)
	if dir == "" {
		return r.fd, base, false, nil
	}
	dir = dir[:len(dir)-1]
	if fd, ok := r.kept[dir]; ok {
		return fd, base, false, nil
	}
	fd, err = r.openat(dir, unix.O_PATH|unix.O_DIRECTORY)
	return fd, base, err == nil, err
}

// in calls f with the folder that rel is in, and wraps what it returns.
func (r *root) in(op, rel string, f func(dirfd int, base string) error) error {
	fd, base, owned, err := r.parent(rel)
	if err != nil {
		return err
	}
	if owned {
		defer unix.Close(fd)
	}
	for {
		err = f(fd, base)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: rel, Err: err}
	}
	return nil
}

// open opens a regular file for reading; errNotRegular for anything else. It never blocks,
// whatever rel is.
func (r *root) open(rel string) (*file, error) {
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("%w: %w", errNotRegular, err)
		}
		return nil, err
	}
	f := &file{fd: fd}
	st, err := f.stat()
	if err == nil && !st.regular {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkDir returns an error unless rel is a folder that is reached without links.
func (r *root) checkDir(rel string) error {
	fd, err := r.openat(rel, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// create makes a new file for reading and writing, for its owner alone.
func (r *root) create(rel string) (*os.File, error) {
	var f *os.File
	err := r.in("create", rel, func(dirfd int, base string) error {
		fd, err := unix.Openat(dirfd, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), filepath.Join(r.path, rel))
		}
		return err
	})
	return f, err
}

// openDir opens a folder for File.ReadDir; "" is the watched folder itself.
func (r *root) openDir(rel string) (*os.File, error) {
	if rel == "" {
		rel = "."
	}
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(r.path, rel)), nil
}

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// lstat looks at rel without opening it.
func (r *root) lstat(rel string) (fileState, error) {
	if rel == "" {
		return r.stat()
	}
	var st unix.Statx_t
	// Links on the way would be followed here; open, which decides, follows none.
	err := unix.Statx(r.fd, rel, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &st)
	if err != nil {
		return fileState{}, &fs.PathError{Op: "lstat", Path: rel, Err: err}
	}
	return stateOf(&st), nil
}

// stat looks at the folder that is held open.
func (r *root) stat() (fileState, error) { return (&file{fd: r.fd}).stat() }

// statPath looks at a folder by its name.
func statPath(name string) (fileState, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, 0, statMask, &st); err != nil {
		return fileState{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return stateOf(&st), nil
}

func stateOf(st *unix.Statx_t) fileState {
	ns := func(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
	s := fileState{
		identity: identity{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino},
		stamp:    stamp{size: int64(st.Size), mtime: ns(st.Mtime), ctime: ns(st.Ctime)},
		dir:      st.Mode&unix.S_IFMT == unix.S_IFDIR,
		regular:  st.Mode&unix.S_IFMT == unix.S_IFREG,
		nlink:    uint64(st.Nlink),
		uid:      st.Uid,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.btime = ns(st.Btime)
	}
	return s
}

// rename moves a file; without replace it never overwrites and fails with fs.ErrExist.
func (r *root) rename(from, to string, replace bool) error {
	return r.in("rename", from, func(fromFD int, fromBase string) error {
		toFD, toBase, owned, err := r.parent(to)
		if err != nil {
			return err
		}
		if owned {
			defer unix.Close(toFD)
		}
		return renameat(fromFD, fromBase, toFD, toBase, replace)
	})
}

// renameOut moves a file to a place outside the folder, named by the operator.
func (r *root) renameOut(from, to string) error {
	return r.in("rename", from, func(fd int, base string) error {
		return renameat(fd, base, unix.AT_FDCWD, to, false)
	})
}

func renameat(fromFD int, from string, toFD int, to string, replace bool) error {
	if replace {
		return unix.Renameat(fromFD, from, toFD, to)
	}
	err := unix.Renameat2(fromFD, from, toFD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// File systems that don't know RENAME_NOREPLACE (NFS among them): look first. Names in
	// the spool are unique by their ids, so this decides only about restored and moved files.
	var st unix.Stat_t
	if err := unix.Fstatat(toFD, to, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	}
	return unix.Renameat(fromFD, from, toFD, to)
}

func (r *root) mkdir(rel string, perm fs.FileMode) error {
	return r.in("mkdir", rel, func(fd int, base string) error { return unix.Mkdirat(fd, base, uint32(perm)) })
}

// remove removes a file.
func (r *root) remove(rel string) error {
	return r.in("remove", rel, func(fd int, base string) error { return unix.Unlinkat(fd, base, 0) })
}

// chmod sets the permissions of a folder.
func (r *root) chmod(rel string, perm fs.FileMode) error {
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, uint32(perm))
}

// syncDir makes the entries of a folder durable. "" and "." are the watched folder.
func (r *root) syncDir(rel string) error {
	if rel == "" || rel == "." {
		return fsync(r.fd)
	}
	if fd, ok := r.kept[rel]; ok {
		return fsync(fd)
	}
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return fsync(fd)
}

// fsync makes a file or the entries of a folder durable, where the file system knows what that
// is: vboxsf and 9p don't for folders, those that are read-only don't for anything.
func fsync(fd int) error {
	for {
		err := unix.Fsync(fd)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
			return nil
		}
		return err
	}
}

// syncAll makes everything on the folder's file system durable; ok is false where that
// can't be asked for in one call.
func (r *root) syncAll() (ok bool, err error) { return true, unix.Syncfs(r.fd) }

// privateTo reports whether the folder rel belongs to us (or to root), and its permissions.
func (r *root) privateTo(rel string) (ours bool, perm fs.FileMode, err error) {
	var st unix.Stat_t
	err = r.in("stat", rel, func(fd int, base string) error {
		return unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st.Uid == 0 || int(st.Uid) == os.Geteuid(), fs.FileMode(st.Mode & 0o777), err
}

// fileSystems are the magic numbers of statfs(2) that matter: those of remote file systems.
var fileSystems = map[int64]fsInfo{
	0x6969:     {kind: "nfs", remote: true},
	0xFE534D42: {kind: "smb2", remote: true},
	0xFF534D42: {kind: "cifs", remote: true},
	0x517B:     {kind: "smb", remote: true},
	0x65735546: {kind: "fuse", remote: true},
	0x01021997: {kind: "9p", remote: true},
	0x00C36400: {kind: "ceph", remote: true},
	0x5346414F: {kind: "afs", remote: true},
	0x0BD00BD0: {kind: "lustre", remote: true},
	0x01161970: {kind: "gfs2", remote: true},
	0x7461636F: {kind: "ocfs2", remote: true},
	0x786F4256: {kind: "vboxsf", remote: true},
	0xEF53:     {kind: "ext4"},
	0x58465342: {kind: "xfs"},
	0x9123683E: {kind: "btrfs"},
	0x01021994: {kind: "tmpfs"},
	0x794C7630: {kind: "overlay"},
	0x2FC12FC1: {kind: "zfs"},
}

// statFS asks the file system about itself.
func (r *root) statFS() (fsInfo, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.fd, &st); err != nil {
		return fsInfo{}, fmt.Errorf("statfs: %w", err)
	}
	info, ok := fileSystems[int64(uint32(st.Type))]
	if !ok {
		info.kind = fmt.Sprintf("0x%X", uint32(st.Type))
	}
	info.free = int64(st.Bavail) * int64(st.Bsize)
	info.total = int64(st.Blocks) * int64(st.Bsize)
	return info, nil
}

// file is a regular file that is open for reading. It is the bare descriptor: the poller
// has nothing to do for regular files, and these are opened by the thousand.
type file struct{ fd int }

func (f *file) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(f.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// rewind goes back to the start.
func (f *file) rewind() { unix.Seek(f.fd, 0, io.SeekStart) } // a regular file can always

// data returns where the next bytes from at on are that are not a hole, of a file of the given
// size, and goes there; from and to are size where there are none.
func (f *file) data(at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(f.fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil: // a file system that knows of no holes
		from, to = at, size
	default:
		if to, err = unix.Seek(f.fd, from, unix.SEEK_HOLE); err != nil {
			to = size
		}
	}
	from, to = min(from, size), min(to, size)
	_, err = unix.Seek(f.fd, from, io.SeekStart)
	return from, to, err
}

func (f *file) Close() error { return unix.Close(f.fd) }

func (f *file) stat() (fileState, error) {
	var st unix.Statx_t
	if err := unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		return fileState{}, fmt.Errorf("fstat: %w", err)
	}
	return stateOf(&st), nil
}

func (f *file) sync() error { return fsync(f.fd) }

// writer asks whether anybody on this machine has the file open for writing, or mapped so:
// the kernel grants a read lease only if nobody has. The lease is given back at once, since
// a writer who comes meanwhile would be kept waiting.
func (f *file) writer() (writerState, error) {
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		_, err = unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_UNLCK)
		if err != nil {
			return writerUnknown, fmt.Errorf("give lease back: %w", err)
		}
		return writerNone, nil
	case errors.Is(err, unix.EAGAIN):
		return writerBusy, nil
	}
	return writerUnknown, fmt.Errorf("take lease: %w", err)
}

// closesBeforeRename says whether an open file can't be renamed.
const closesBeforeRename = false

// eventsByDefault says whether Watch = "auto" uses file system events.
const eventsByDefault = true

// isCrossDevice reports whether a rename failed because source and target are on different
// mounts.
func isCrossDevice(err error) bool { return errors.Is(err, unix.EXDEV) }

// isTooLong reports whether a name is too long for the file system.
func isTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// isNoSpace reports whether the file system is full.
func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isNotDir reports whether a folder on the way to a name is none.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// syncPath makes the entries of a folder outside durable.
func syncPath(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return fsync(fd)
}

// renamePath renames a file outside; it never overwrites and fails with fs.ErrExist.
func renamePath(from, to string) error {
	return renameat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, false)
}

// isBlocked reports whether something that is no folder is where a folder should be.
func isBlocked(err error) bool { return isNotDir(err) || errors.Is(err, unix.ELOOP) }
