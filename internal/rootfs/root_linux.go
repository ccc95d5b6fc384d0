package rootfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is an open folder. It is safe for concurrent use, except for KeepOpen and Close.
type Root struct {
	path     string
	fd       int
	oneMount bool           // names on other mounts are refused
	kept     map[string]int // folders that are held open, by name
}

// Open opens a folder as a root. Links in name are followed if they belong to the superuser or to
// this user. All its errors match ErrRoot. The caller closes it.
func Open(name string, opts ...Option) (*Root, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}

	fd, err := openPath(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, &fs.PathError{Op: "open", Path: name, Err: err})
	}

	return newRoot(name, fd, o.oneMount), nil
}

func newRoot(name string, fd int, oneMount bool) *Root {
	return &Root{path: name, fd: fd, oneMount: oneMount, kept: map[string]int{}}
}

// Sub opens a folder below the root as a root of its own. The caller closes it.
func (r *Root) Sub(rel string) (*Root, error) {
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}

	return newRoot(pathBelow(r.path, rel), fd, r.oneMount), nil
}

// KeepOpen holds the folder rel open until Close, so that names in it need no resolution. It must
// not run concurrently with other calls.
func (r *Root) KeepOpen(rel string) error {
	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	r.kept[rel] = fd

	return nil
}

// Close releases the open folders. No method may be called afterwards.
func (r *Root) Close() {
	for _, fd := range r.kept {
		unix.Close(fd)
	}
	unix.Close(r.fd)
}

// maxRetries is how often a name is resolved again after a concurrent rename or a signal. Longer
// failures have another cause: a writer with a lease on the file makes a non-blocking open fail
// with the same error, for up to lease-break-time.
const maxRetries = 16

// openat opens rel. No component may be a link or, with OneMount, on another mount.
func (r *Root) openat(rel string, flags int, perm fs.FileMode) (int, error) {
	if rel != "." {
		if err := check("open", rel); err != nil {
			return -1, err
		}
	}
	if len(rel) >= unix.PathMax {
		return r.walk(rel, flags, perm)
	}

	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC), // O_NOFOLLOW would hide that a name is a link
		Mode:    uint64(perm.Perm()),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if r.oneMount {
		how.Resolve |= unix.RESOLVE_NO_XDEV
	}
	for range maxRetries {
		fd, err := unix.Openat2(r.fd, rel, &how)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			// Before Linux 5.6, filtered by seccomp, or really forbidden.
			return r.walk(rel, flags, perm)
		}
		return -1, openError(rel, err)
	}

	return r.walk(rel, flags, perm)
}

// walk is openat without openat2: it opens component by component.
func (r *Root) walk(rel string, flags int, perm fs.FileMode) (fd int, err error) {
	at := r.fd
	for rest, more := rel, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if more {
			fd, err = openComponent(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		} else {
			fd, err = openComponent(at, name, flags, perm)
		}
		if err == nil && r.oneMount && !sameMount(at, fd) {
			unix.Close(fd)
			err = unix.EXDEV
		}
		if at != r.fd {
			unix.Close(at)
		}
		if err != nil {
			return -1, openError(rel, err)
		}
		at = fd
	}

	return at, nil
}

// openComponent opens a name in a folder. A link fails with ELOOP, whatever the flags.
func openComponent(dirfd int, name string, flags int, perm fs.FileMode) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(perm.Perm()))
	})
	if errors.Is(err, unix.ENOTDIR) {
		var st unix.Stat_t
		statErr := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
	}

	return fd, err
}

// sameMount reports whether two descriptors are on one mount, if the kernel can tell.
func sameMount(a, b int) bool {
	mount := func(fd int) (dev, id uint64) {
		var st unix.Statx_t
		if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
			return 0, 0
		}
		return unix.Mkdev(st.Dev_major, st.Dev_minor), st.Mnt_id
	}
	devA, idA := mount(a)
	devB, idB := mount(b)

	return devA == devB && idA == idB
}

// openError classifies an error of open(2).
func openError(rel string, err error) error {
	wrapped := &fs.PathError{Op: "open", Path: rel, Err: err}
	switch {
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: %w", ErrOutside, wrapped)
	case errors.Is(err, unix.EXDEV):
		return fmt.Errorf("%w: %w", ErrOtherMount, wrapped)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %w", ErrNotRegular, wrapped)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ETXTBSY):
		return fmt.Errorf("%w: %w", ErrBusy, wrapped)
	}

	return wrapped
}

// parent returns the parent folder of rel. The caller closes fd if owned.
func (r *Root) parent(op, rel string) (fd int, base string, owned bool, err error) {
	if err := check(op, rel); err != nil {
		return -1, "", false, err
	}

	dir, base := path.Split(rel)
	if dir == "" {
		return r.fd, base, false, nil
	}
	dir = dir[:len(dir)-1]
	if fd, ok := r.kept[dir]; ok {
		return fd, base, false, nil
	}
	fd, err = r.openat(dir, unix.O_PATH|unix.O_DIRECTORY, 0)

	return fd, base, err == nil, err
}

// withParent calls f with the parent folder of rel, and wraps its error.
func (r *Root) withParent(op, rel string, f func(dirfd int, base string) error) error {
	fd, base, owned, err := r.parent(op, rel)
	if err != nil {
		return err
	}
	if owned {
		defer unix.Close(fd)
	}

	_, err = retry(func() (int, error) { return 0, f(fd, base) })
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%w: %w", ErrOtherMount, &fs.PathError{Op: op, Path: rel, Err: err})
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: rel, Err: err}
	}

	return nil
}

// Open opens a regular file for reading; ErrNotRegular for anything else. It never blocks.
func (r *Root) Open(rel string) (*File, error) {
	fd, err := r.openRegular(rel, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}

	return &File{fd: fd}, nil
}

// OpenFile opens a regular file as os.OpenFile does; ErrNotRegular for anything else.
func (r *Root) OpenFile(rel string, flags int, perm fs.FileMode) (*os.File, error) {
	if flags&unix.O_CREAT == 0 {
		perm = 0 // required by openat2
	}
	fd, err := r.openRegular(rel, flags, perm)
	if err != nil {
		return nil, err
	}

	return os.NewFile(uintptr(fd), pathBelow(r.path, rel)), nil
}

func (r *Root) openRegular(rel string, flags int, perm fs.FileMode) (int, error) {
	fd, err := r.openat(rel, flags|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
	if err != nil {
		return -1, err
	}

	st, err := (&File{fd: fd}).Stat()
	if err == nil && !st.Regular {
		err = fmt.Errorf("%w: %s", ErrNotRegular, rel)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}

	return fd, nil
}

// Create makes a new file for reading and writing, for its owner alone.
func (r *Root) Create(rel string) (*os.File, error) {
	var f *os.File
	err := r.withParent("create", rel, func(dirfd int, base string) error {
		fd, err := unix.Openat(dirfd, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), pathBelow(r.path, rel))
		}
		return err
	})

	return f, err
}

// openDir opens a folder; "" and "." are the root.
func (r *Root) openDir(rel string) (*os.File, error) {
	fd, err := r.openat(cmp.Or(rel, "."), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}

	return os.NewFile(uintptr(fd), pathBelow(r.path, rel)), nil
}

// CheckDir returns an error unless rel is a folder that is reached without links.
func (r *Root) CheckDir(rel string) error {
	fd, err := r.openat(rel, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}

	return unix.Close(fd)
}

// Lstat returns the state of rel without opening it; "" is the root.
func (r *Root) Lstat(rel string) (State, error) {
	if rel == "" {
		return r.Stat()
	}

	var st unix.Statx_t
	err := r.withParent("lstat", rel, func(dirfd int, base string) error {
		return unix.Statx(dirfd, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &st)
	})
	if err != nil {
		return State{}, err
	}

	return stateOf(&st), nil
}

// Stat returns the state of the open root.
func (r *Root) Stat() (State, error) { return (&File{fd: r.fd}).Stat() }

// StatPath returns the state of a file or folder by a name that the operator chose.
func StatPath(name string) (State, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, 0, statMask, &st); err != nil {
		return State{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}

	return stateOf(&st), nil
}

// StatFile returns the state of a file that was opened elsewhere.
func StatFile(f *os.File) (State, error) { return (&File{fd: int(f.Fd())}).Stat() }

// Move renames a file, from one root to another or within one. It never replaces: if the name
// exists it fails with fs.ErrExist. On a file system that does not support this, such as NFS, it
// replaces a file that appears between its check and the rename.
func Move(from *Root, rel string, to *Root, toRel string) error {
	return rename(from, rel, to, toRel, unix.RENAME_NOREPLACE)
}

// Replace renames a file within the root, and replaces an existing file with the new name.
func (r *Root) Replace(rel, toRel string) error { return rename(r, rel, r, toRel, 0) }

func rename(from *Root, rel string, to *Root, toRel string, flags uint) error {
	return from.withParent("rename", rel, func(fd int, base string) error {
		toFD, toBase, owned, err := to.parent("rename", toRel)
		if err != nil {
			return err
		}
		if owned {
			defer unix.Close(toFD)
		}
		return renameat(fd, base, toFD, toBase, flags)
	})
}

func renameat(fromFD int, from string, toFD int, to string, flags uint) error {
	if flags == 0 {
		return unix.Renameat(fromFD, from, toFD, to)
	}

	err := unix.Renameat2(fromFD, from, toFD, to, flags)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system does not support RENAME_NOREPLACE, as with NFS: check first.
	var st unix.Stat_t
	if err := unix.Fstatat(toFD, to, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	}

	return unix.Renameat(fromFD, from, toFD, to)
}

// Mkdir makes a folder.
func (r *Root) Mkdir(rel string, perm fs.FileMode) error {
	return r.withParent("mkdir", rel, func(fd int, base string) error { return unix.Mkdirat(fd, base, uint32(perm)) })
}

// Remove removes a file.
func (r *Root) Remove(rel string) error {
	return r.withParent("remove", rel, func(fd int, base string) error { return unix.Unlinkat(fd, base, 0) })
}

// ChmodDir sets the permissions of a folder; "" is the root.
func (r *Root) ChmodDir(rel string, perm fs.FileMode) error {
	d, err := r.openDir(rel)
	if err != nil {
		return err
	}

	return errors.Join(d.Chmod(perm), d.Close())
}

// Chtimes sets the access and modification times of a file that Create returned. mtime is in
// nanoseconds since 1970.
func Chtimes(f *os.File, mtime int64) error {
	t := unix.NsecToTimeval(mtime)

	return unix.Futimes(int(f.Fd()), []unix.Timeval{t, t})
}

// SyncDir makes the entries of a folder durable; "" and "." are the root.
func (r *Root) SyncDir(rel string) error {
	if rel == "" || rel == "." {
		return fsync(r.fd)
	}
	if fd, ok := r.kept[rel]; ok {
		return fsync(fd)
	}

	fd, err := r.openat(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)

	return fsync(fd)
}

// SyncAll makes everything on the root's file system durable; ok is false if the system has no
// single call for that.
func (r *Root) SyncAll() (ok bool, err error) { return true, unix.Syncfs(r.fd) }

// ClosesBeforeRename says whether a file must be closed before it is renamed.
const ClosesBeforeRename = false
