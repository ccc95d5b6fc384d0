package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"backburn/internal/rootfs"
)

// FileConfig says where events are written.
type FileConfig struct {
	Path       string
	Mode       fs.FileMode // of files that are made
	MaxSize    int64       // in bytes; then the file is put aside under its time. 0: never, for logrotate
	MaxBackups int         // files kept beside the current one; 0: all
}

// File appends each event as a line. A line is with the operating system when the event is
// acknowledged; it is not waited for the disk.
//
// Others may rename, remove or truncate the file at any time, as logrotate does: each line goes to
// the end of what has the name at that moment.
type File struct {
	cfg FileConfig

	mu sync.Mutex
	f  *os.File // nil while it is closed
}

// NewFile opens the file with the first event.
func NewFile(cfg FileConfig) *File { return &File{cfg: cfg} }

// Send writes a line, whole or not at all.
func (f *File) Send(_ context.Context, m Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return fault(err)
	}
	size, err := f.size()
	if err != nil {
		return fault(err)
	}
	if f.cfg.MaxSize > 0 && size > 0 && size+int64(len(m.Body)) >= f.cfg.MaxSize {
		if err := f.rotate(); err != nil {
			return fault(err)
		}
	}
	if err := f.append(m.Body); err != nil {
		return fault(err)
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

// Reopen lets go of the file, so that one that was moved away can be removed.
func (f *File) Reopen() error { return f.Close() }

func (f *File) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// open opens the file that has the name now, unless it is open.
func (f *File) open() error {
	if f.f != nil {
		is, err := os.Stat(f.cfg.Path)
		has, herr := f.f.Stat()
		if err == nil && herr == nil && os.SameFile(is, has) {
			return nil
		}
		if err := f.close(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.cfg.Path), 0o700); err != nil {
		return err
	}
	if info, err := os.Stat(f.cfg.Path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.cfg.Path)
	}
	opened, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		opened, err = f.create()
	}
	if err != nil {
		return err
	}
	f.f = opened
	return nil
}

// create makes the file with its mode, whatever the umask.
func (f *File) create() (*os.File, error) {
	made, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrExist) { // somebody was faster
		return os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := made.Chmod(f.cfg.Mode); err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

func (f *File) size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// append writes a line behind whole lines. What a full disk leaves of it is taken back.
func (f *File) append(line []byte) error {
	defer lock(f.f)()

	begin, err := ownLine(f.f)
	if err != nil {
		return err
	}
	before, err := f.size()
	if err != nil {
		return err
	}
	n, err := f.f.Write(slices.Concat(begin, line, []byte{'\n'}))
	if err == nil {
		return nil
	}
	if n == 0 {
		return err
	}
	after, serr := f.size()
	if serr == nil && after == before+int64(n) { // nobody else wrote
		return errors.Join(err, f.f.Truncate(before))
	}
	return errors.Join(err, serr) // the next line begins on a line of its own
}

// stampLayout sorts by time, and a name that has it is this sink's.
const stampLayout = "20060102T150405.000000000Z"

// rotate puts the file aside under its time, and removes the oldest ones.
func (f *File) rotate() error {
	if err := f.close(); err != nil {
		return err
	}
	ext := filepath.Ext(f.cfg.Path)
	stem := strings.TrimSuffix(f.cfg.Path, ext) + "-"
	if err := os.Rename(f.cfg.Path, stem+time.Now().UTC().Format(stampLayout)+ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.cfg.MaxBackups > 0 {
		f.prune(stem, ext)
	}
	return f.open()
}

// prune removes the oldest files. One that cannot be removed is tried again with the next.
func (f *File) prune(stem, ext string) {
	entries, err := os.ReadDir(filepath.Dir(f.cfg.Path))
	if err != nil {
		return
	}
	var old []string
	for _, e := range entries { // by name, which is by time
		stamp, ok := strings.CutPrefix(e.Name(), filepath.Base(stem))
		stamp, has := strings.CutSuffix(stamp, ext)
		if _, err := time.Parse(stampLayout, stamp); ok && has && err == nil {
			old = append(old, e.Name())
		}
	}
	for len(old) > f.cfg.MaxBackups {
		_ = os.Remove(filepath.Join(filepath.Dir(f.cfg.Path), old[0]))
		old = old[1:]
	}
}

// fault says what an operator can do.
func fault(err error) *Fault {
	remedy := "check the sink's path"
	switch {
	case rootfs.IsNoSpace(err):
		remedy = "make room on the disk"
	case errors.Is(err, fs.ErrPermission):
		remedy = "let Backburn's user write there"
	}
	return &Fault{Kind: Unavailable, Err: fmt.Errorf("write event: %w", err), Remedy: remedy}
}
