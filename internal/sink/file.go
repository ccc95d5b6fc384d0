package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"backburn/internal/health"
	"backburn/internal/rootfs"
)

// File is a target that appends each event as one line. An event counts as accepted once the
// operating system has the line; File does not wait for the disk.
//
// Other programs, such as logrotate, may rename, remove or truncate the file at any time. Each line
// is appended to the file that has the configured name at that moment.
type File struct {
	cfg  Config
	mode fs.FileMode // of new files

	mu   sync.Mutex
	file *os.File // nil while closed
}

// NewFile returns a target that opens its file at the first event.
func NewFile(cfg Config) (*File, error) {
	mode, err := strconv.ParseUint(cfg.Mode, 8, 12)
	if err != nil {
		return nil, fmt.Errorf("mode: %w", err)
	}

	return &File{cfg: cfg, mode: fs.FileMode(mode)}, nil
}

// Send writes one line. After an error it removes what it wrote of the line, unless another process
// has written to the file meanwhile.
func (f *File) Send(_ context.Context, m Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return fileFault(err)
	}
	size, err := f.size()
	if err != nil {
		return fileFault(err)
	}
	if f.cfg.MaxSize > 0 && size > 0 && size+int64(len(m.Body)) >= f.cfg.MaxSize {
		if err := f.rotate(); err != nil {
			return fileFault(err)
		}
	}
	if err := f.append(m.Body); err != nil {
		return fileFault(err)
	}

	return nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

// Reopen closes the file, so that a renamed file is released. The next event opens it again.
func (f *File) Reopen() error { return f.Close() }

func (f *File) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil

	return err
}

// open opens the file that has the configured name now, unless it is open already.
func (f *File) open() error {
	if f.file != nil {
		named, err := os.Stat(f.cfg.Path)
		opened, statErr := f.file.Stat()
		if err == nil && statErr == nil && os.SameFile(named, opened) {
			return nil
		}
		if err := f.close(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.cfg.Path), 0o700); err != nil {
		return err
	}
	if err := Appendable(f.cfg.Path); err != nil {
		return err
	}
	opened, err := rootfs.OpenPath(f.cfg.Path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		opened, err = f.create()
	}
	if err != nil {
		return err
	}
	f.file = opened

	return nil
}

// create creates the file with its mode, regardless of the umask.
func (f *File) create() (*os.File, error) {
	created, err := rootfs.OpenPath(f.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrExist) { // another process has just created it
		return rootfs.OpenPath(f.cfg.Path, os.O_RDWR|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := created.Chmod(f.mode); err != nil {
		created.Close()
		return nil, err
	}

	return created, nil
}

// size returns the size of the open file in bytes.
func (f *File) size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}

	return info.Size(), nil
}

// append appends a line. If the last line of the file is incomplete, it ends that line first. If
// the disk is full, it removes the part that was written.
func (f *File) append(line []byte) error {
	defer lock(f.file)()

	begin, err := missingNewline(f.file)
	if err != nil {
		return err
	}
	before, err := f.size()
	if err != nil {
		return err
	}
	n, err := f.file.Write(slices.Concat(begin, line, []byte{'\n'}))
	if err == nil {
		return nil
	}
	if n == 0 {
		return err
	}
	after, sizeErr := f.size()
	if sizeErr == nil && after == before+int64(n) { // no other process wrote
		return errors.Join(err, f.file.Truncate(before))
	}

	return errors.Join(err, sizeErr) // the next append ends the partial line
}

// stampLayout is the timestamp in the names of rotated files. Names sort by time, and a file with
// such a name belongs to this sink.
const stampLayout = "20060102T150405.000000000Z"

// rotate renames the file to a name with a timestamp, and removes the oldest files.
func (f *File) rotate() error {
	if err := f.close(); err != nil {
		return err
	}
	stamps := f.rotated()
	stamp := time.Now().UTC()
	if len(stamps) > 0 && !stamp.After(stamps[len(stamps)-1]) {
		stamp = stamps[len(stamps)-1].Add(1) // the clock was set back
	}
	err := os.Rename(f.cfg.Path, f.rotatedName(stamp))
	if err == nil && f.cfg.MaxBackups > 0 {
		f.prune(append(stamps, stamp))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	return f.open()
}

// rotatedName returns the path of the file that was rotated at a time.
func (f *File) rotatedName(stamp time.Time) string {
	ext := filepath.Ext(f.cfg.Path)

	return strings.TrimSuffix(f.cfg.Path, ext) + "-" + stamp.Format(stampLayout) + ext
}

// rotated returns the timestamps of the rotated files, from old to new. It returns none if the
// folder cannot be read.
func (f *File) rotated() []time.Time {
	entries, err := os.ReadDir(filepath.Dir(f.cfg.Path))
	if err != nil {
		return nil
	}
	ext := filepath.Ext(f.cfg.Path)
	prefix := strings.TrimSuffix(filepath.Base(f.cfg.Path), ext) + "-"
	var stamps []time.Time
	for _, e := range entries { // sorted by name, and therefore by time
		text, hasPrefix := strings.CutPrefix(e.Name(), prefix)
		text, hasExt := strings.CutSuffix(text, ext)
		if stamp, err := time.Parse(stampLayout, text); hasPrefix && hasExt && err == nil {
			stamps = append(stamps, stamp)
		}
	}

	return stamps
}

// prune removes the oldest rotated files. If a file cannot be removed, the next rotation tries
// again.
func (f *File) prune(stamps []time.Time) {
	for len(stamps) > f.cfg.MaxBackups {
		_ = os.Remove(f.rotatedName(stamps[0]))
		stamps = stamps[1:]
	}
}

// fileFault returns a Fault that says what an operator can do.
func fileFault(err error) *Fault {
	f := &Fault{
		Kind:   Unavailable,
		Cause:  health.CauseDisk,
		Err:    fmt.Errorf("write event: %w", err),
		Remedy: "check the sink's path",
	}
	switch {
	case rootfs.IsNoSpace(err):
		f.Cause, f.Remedy = health.CauseFull, "free some disk space"
	case errors.Is(err, fs.ErrPermission):
		f.Cause, f.Remedy = health.CauseRefused, "let Backburn's user write there"
	}

	return f
}
