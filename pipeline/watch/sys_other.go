//go:build darwin || windows

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// root is the watched folder, held open. All names are resolved beneath it; links that stay
// inside it are followed on the way to a file, and refused as the file. Safe for concurrent
// use until close.
type root struct {
	path string
	r    *os.Root
	dir  *os.File // the folder itself, for stat
}

func openRoot(name string) (*root, error) {
	r, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	dir, err := r.Open(".")
	if err != nil {
		r.Close()
		return nil, err
	}
	return &root{path: name, r: r, dir: dir}, nil
}

// keep has no use here; see its twin for Linux.
func (r *root) keep(rel string) error {
	_, err := r.r.Lstat(filepath.FromSlash(rel))
	return err
}

func (r *root) close() {
	r.dir.Close()
	r.r.Close()
}

// name is rel as the system writes it, beneath the folder.
func (r *root) name(rel string) string { return filepath.Join(r.path, filepath.FromSlash(rel)) }

// open opens a regular file for reading; errNotRegular for anything else. It never blocks.
func (r *root) open(rel string) (*file, error) {
	before, err := r.r.Lstat(filepath.FromSlash(rel))
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := r.r.OpenFile(filepath.FromSlash(rel), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%w: it was exchanged", errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{File: f, path: r.name(rel)}, nil
}

// checkDir returns an error unless rel is a folder that is reached without links.
func (r *root) checkDir(rel string) error {
	for i := 0; i <= len(rel); i++ {
		if i < len(rel) && rel[i] != '/' {
			continue
		}
		if info, err := r.r.Lstat(filepath.FromSlash(rel[:i])); err != nil {
			return err
		} else if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: rel[:i], Err: errNotRegular}
		}
	}
	return nil
}

// create makes a new file for reading and writing, for its owner alone.
func (r *root) create(rel string) (*os.File, error) {
	return r.r.OpenFile(filepath.FromSlash(rel), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// openDir opens a folder for File.ReadDir; "" is the watched folder itself.
func (r *root) openDir(rel string) (*os.File, error) {
	if rel == "" {
		rel = "."
	}
	return r.r.Open(filepath.FromSlash(rel))
}

// stat looks at the folder that is held open.
func (r *root) stat() (fileState, error) { return stateOfFile(r.dir) }

// rename moves a file; without replace it never overwrites and fails with fs.ErrExist.
func (r *root) rename(from, to string, replace bool) error {
	if replace || spoolRel(to) && !strings.HasPrefix(to, doneDir) {
		// Names in the spool are unique by their ids. This way both names are resolved
		// beneath the folder.
		return r.r.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
	}
	// The system call that refuses to overwrite knows no folders that are held open: make
	// sure that no link leads elsewhere.
	if dir := path.Dir(to); dir != "." {
		if err := r.checkDir(dir); err != nil {
			return err
		}
	}
	return renamePath(r.name(from), r.name(to))
}

// renameOut moves a file to a place outside the folder, named by the operator.
func (r *root) renameOut(from, to string) error { return renamePath(r.name(from), to) }

func (r *root) mkdir(rel string, perm fs.FileMode) error {
	return r.r.Mkdir(filepath.FromSlash(rel), perm)
}

// remove removes a file.
func (r *root) remove(rel string) error { return r.r.Remove(filepath.FromSlash(rel)) }

// chmod sets the permissions of a folder.
func (r *root) chmod(rel string, perm fs.FileMode) error {
	return r.r.Chmod(filepath.FromSlash(rel), perm)
}

// syncDir makes the entries of a folder durable, as far as the system lets us ask for it.
func (r *root) syncDir(rel string) error { return syncPath(r.name(rel)) }

// syncAll is not to be had here.
func (r *root) syncAll() (ok bool, err error) { return false, nil }

// file is a regular file that is open for reading.
type file struct {
	*os.File
	path string
}

// rewind goes back to the start.
func (f *file) rewind() { f.Seek(0, 0) } // a regular file can always

// data says that a file has no holes; see its twin for Linux.
func (f *file) data(at, size int64) (from, to int64, err error) { return at, size, nil }

func (f *file) stat() (fileState, error) { return stateOfFile(f.File) }

// isBlocked reports whether something that is no folder is where a folder should be.
func isBlocked(err error) bool { return isNotDir(err) || errors.Is(err, errNotRegular) }
