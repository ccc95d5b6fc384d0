package rootfs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
)

// Name returns the path by which the root was opened.
func (r *Root) Name() string { return r.path }

// MkdirAll creates the folder rel and its parents, each durably. Names that exist are skipped
// unchecked, so it also returns nil if rel is a file.
func (r *Root) MkdirAll(rel string, perm fs.FileMode) error {
	for i := 0; i <= len(rel); i++ {
		if i < len(rel) && rel[i] != '/' {
			continue
		}

		err := r.Mkdir(rel[:i], perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.SyncDir(path.Dir(rel[:i])); err != nil {
			return err
		}
	}

	return nil
}

// entryBatch is the number of entries of a folder that are read at once.
const entryBatch = 512

// Entries returns the entries of a folder as they are read, in no particular order; "" and "." are
// the root. If reading fails, the last pair has the error.
func (r *Root) Entries(rel string) iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		d, err := r.openDir(rel)
		if err != nil {
			yield(nil, err)
			return
		}
		defer d.Close()

		for err == nil {
			var entries []fs.DirEntry
			entries, err = d.ReadDir(entryBatch)
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// ReadFile returns the contents of a small file. It returns ErrTooLarge if the file has more than
// limit bytes.
func (r *Root) ReadFile(rel string, limit int64) ([]byte, error) {
	f, err := r.Open(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", rel, ErrTooLarge, limit)
	}

	return b, nil
}

// Write has the options of WriteFile.
type Write struct {
	// Temp is the name, below the root, of the file while it is written. It must be on the same
	// file system. Empty means a random name in the same folder.
	Temp string
	// Perm are the permissions. 0 means 0600.
	Perm fs.FileMode
	// NoReplace makes WriteFile return fs.ErrExist if the name exists. Otherwise the file is
	// replaced.
	NoReplace bool
}

// WriteFile writes a file durably and atomically: after a crash there is either the old file or the
// new one. A crash may leave w.Temp behind.
func (r *Root) WriteFile(rel string, content []byte, w Write) (err error) {
	tmp := w.Temp
	if tmp == "" {
		dir, base := path.Split(rel)
		tmp = dir + "." + base[:min(len(base), 200)] + "." + rand.Text() + ".tmp"
	}

	f, err := r.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = r.Remove(tmp)
		}
	}()

	_, err = f.Write(content)
	if err == nil && w.Perm != 0 {
		err = f.Chmod(w.Perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}

	if w.NoReplace {
		err = Move(r, tmp, r, rel)
	} else {
		err = r.Replace(tmp, rel)
	}
	if err != nil {
		return err
	}

	return r.SyncDir(path.Dir(rel))
}

// WriteFile is Root.WriteFile for a file in a folder that the operator chose.
func WriteFile(name string, content []byte, w Write) error {
	r, err := Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer r.Close()

	return r.WriteFile(filepath.Base(name), content, w)
}
