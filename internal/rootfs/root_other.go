//go:build darwin || windows

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Root is an open folder. It is safe for concurrent use, except for KeepOpen and Close.
type Root struct {
	path string
	r    *os.Root
	dir  *os.File // the folder itself, for Stat
}

// Open opens a folder as a root. Links in name are followed if they belong to the superuser or to
// this user. All its errors match ErrRoot. The caller closes it. Mounts are not distinguished here.
func Open(name string, _ ...Option) (*Root, error) {
	if err := checkLinks(name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	r, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}

	return newRoot(name, r)
}

// OpenPath is like os.OpenFile for a name that the operator chose, but follows only links of the
// superuser or of this user. The error for another link matches ErrForeignLink.
func OpenPath(name string, flags int, perm fs.FileMode) (*os.File, error) {
	if err := checkLinks(name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}

	return os.OpenFile(name, flags, perm)
}

func newRoot(name string, r *os.Root) (*Root, error) {
	dir, err := r.Open(".")
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}

	return &Root{path: name, r: r, dir: dir}, nil
}

// Sub opens a folder below the root as a root of its own. The caller closes it.
func (r *Root) Sub(rel string) (*Root, error) {
	if err := r.CheckDir(rel); err != nil {
		return nil, err
	}
	sub, err := r.r.OpenRoot(filepath.FromSlash(rel))
	if err != nil {
		return nil, classifyError(err)
	}

	return newRoot(pathBelow(r.path, rel), sub)
}

// KeepOpen checks that rel is a folder; see the version for Linux.
func (r *Root) KeepOpen(rel string) error { return r.CheckDir(rel) }

// Close releases the open folders. No method may be called afterwards.
func (r *Root) Close() {
	r.dir.Close()
	r.r.Close()
}

// classifyError classifies an error of os.Root.
func classifyError(err error) error {
	if err != nil && (strings.Contains(err.Error(), "path escapes") || errors.Is(err, errLoop)) {
		return fmt.Errorf("%w: %w", ErrOutside, err)
	}

	return err
}

// checkComponents checks every component of rel, and returns the state of the last one. None may be
// a link.
func (r *Root) checkComponents(op, rel string) (last fs.FileInfo, err error) {
	if err := check(op, rel); err != nil {
		return nil, err
	}

	for i := 0; i <= len(rel); i++ {
		if i < len(rel) && rel[i] != '/' {
			continue
		}
		if last, err = r.r.Lstat(filepath.FromSlash(rel[:i])); err != nil {
			return nil, classifyError(err)
		}
		if isLink(last) {
			return nil, fmt.Errorf("%w: %s is a link", ErrOutside, rel[:i])
		}
	}

	return last, nil
}

// isLink reports whether a name leads elsewhere: a link, or on Windows a reparse point.
func isLink(info fs.FileInfo) bool { return info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 }

// checkParent checks that the parent folder of rel is reached without links.
func (r *Root) checkParent(op, rel string) (name string, err error) {
	if err := check(op, rel); err != nil {
		return "", err
	}
	if dir := path.Dir(rel); dir != "." {
		if err := r.CheckDir(dir); err != nil {
			return "", err
		}
	}

	return filepath.FromSlash(rel), nil
}

// Open opens a regular file for reading; ErrNotRegular for anything else. It never blocks.
func (r *Root) Open(rel string) (*File, error) {
	f, err := r.OpenFile(rel, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}

	return &File{File: f, path: pathBelow(r.path, rel)}, nil
}

// OpenFile opens a regular file as os.OpenFile does; ErrNotRegular for anything else.
func (r *Root) OpenFile(rel string, flags int, perm fs.FileMode) (*os.File, error) {
	before, err := r.checkComponents("open", rel)
	if err != nil && (flags&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	if err == nil && !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s", ErrNotRegular, rel)
	}

	f, err := r.r.OpenFile(filepath.FromSlash(rel), flags|openFlags, perm)
	if err != nil {
		return nil, classifyError(err)
	}
	after, err := f.Stat()
	if err == nil && before != nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%w: %s was replaced while it was opened", ErrOutside, rel)
	}
	if err != nil {
		f.Close()
		return nil, err
	}

	return f, nil
}

// Create makes a new file for reading and writing, for its owner alone.
func (r *Root) Create(rel string) (*os.File, error) {
	name, err := r.checkParent("create", rel)
	if err != nil {
		return nil, err
	}

	return r.r.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// openDir opens a folder; "" and "." are the root.
func (r *Root) openDir(rel string) (*os.File, error) {
	if rel == "" || rel == "." {
		return r.r.Open(".")
	}
	if err := r.CheckDir(rel); err != nil {
		return nil, err
	}
	f, err := r.r.Open(filepath.FromSlash(rel))

	return f, classifyError(err)
}

// CheckDir returns an error unless rel is a folder that is reached without links.
func (r *Root) CheckDir(rel string) error {
	last, err := r.checkComponents("open", rel)
	if err != nil {
		return err
	}
	if !last.IsDir() {
		return &fs.PathError{Op: "open", Path: rel, Err: errNotDir}
	}

	return nil
}

// Lstat returns the state of rel without opening it; "" is the root.
func (r *Root) Lstat(rel string) (State, error) {
	if rel == "" {
		return r.Stat()
	}
	name, err := r.checkParent("lstat", rel)
	if err != nil {
		return State{}, err
	}

	return r.lstat(name)
}

// Stat returns the state of the open root.
func (r *Root) Stat() (State, error) { return stateOfFile(r.dir) }

// StatFile returns the state of a file that was opened elsewhere.
func StatFile(f *os.File) (State, error) { return stateOfFile(f) }

// Move renames a file, from one root to another or within one. It never replaces: if the name
// exists it fails with fs.ErrExist. A user who may write to the folders could exchange them between
// the check and the rename, because the system call that refuses to replace does not accept open
// folders.
func Move(from *Root, rel string, to *Root, toRel string) error {
	if _, err := from.checkParent("rename", rel); err != nil {
		return err
	}
	if _, err := to.checkParent("rename", toRel); err != nil {
		return err
	}

	err := renamePath(pathBelow(from.path, rel), pathBelow(to.path, toRel))
	if errors.Is(err, errCrossDevice) {
		return fmt.Errorf("%w: %w", ErrOtherMount, err)
	}

	return err
}

// Replace renames a file within the root, and replaces an existing file with the new name.
func (r *Root) Replace(rel, toRel string) error {
	name, err := r.checkParent("rename", rel)
	if err != nil {
		return err
	}
	to, err := r.checkParent("rename", toRel)
	if err != nil {
		return err
	}

	return r.r.Rename(name, to)
}

// Mkdir makes a folder.
func (r *Root) Mkdir(rel string, perm fs.FileMode) error {
	name, err := r.checkParent("mkdir", rel)
	if err != nil {
		return err
	}

	return r.r.Mkdir(name, perm)
}

// Remove removes a file.
func (r *Root) Remove(rel string) error {
	name, err := r.checkParent("remove", rel)
	if err != nil {
		return err
	}

	return r.r.Remove(name)
}

// ChmodDir sets the permissions of a folder; "" is the root.
func (r *Root) ChmodDir(rel string, perm fs.FileMode) error {
	if rel == "" {
		return r.r.Chmod(".", perm)
	}
	if err := r.CheckDir(rel); err != nil {
		return err
	}

	return r.r.Chmod(filepath.FromSlash(rel), perm)
}

// Chtimes sets the access and modification times of a file that Create returned. mtime is in
// nanoseconds since 1970.
func Chtimes(f *os.File, mtime int64) error {
	t := time.Unix(0, mtime)

	return os.Chtimes(f.Name(), t, t)
}

// SyncDir makes the entries of a folder durable if the system supports that.
func (r *Root) SyncDir(rel string) error {
	d, err := r.openDir(rel)
	if err != nil {
		return err
	}

	return errors.Join(syncDir(d), d.Close())
}

// SyncAll is not supported here.
func (r *Root) SyncAll() (ok bool, err error) { return false, nil }

// File is a regular file that is open for reading. It is for one goroutine at a time.
type File struct {
	*os.File
	path string
}

// Rewind sets the offset to the start.
func (f *File) Rewind() { f.Seek(0, 0) } // always works for a regular file

// NextData treats the file as one without holes; see the version for Linux.
func (f *File) NextData(at, size int64) (from, to int64, err error) { return at, size, nil }

// Stat returns the state of the open file.
func (f *File) Stat() (State, error) { return stateOfFile(f.File) }

// HoldLease reports whether there is a writer. It cannot keep new writers waiting here.
func (f *File) HoldLease() (Writer, error) {
	w, err := f.Writer()
	if w == NoWriter {
		return UnknownWriter, errors.New("this system cannot delay writers")
	}

	return w, err
}

// LeaseHeld is never called here, because HoldLease never returns NoWriter.
func (f *File) LeaseHeld() bool { return false }
