package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"backburn/internal/rootfs"

	"github.com/gofrs/flock"
)

// deadLetter is one line of the dead-letter file.
type deadLetter struct {
	Time     time.Time       `json:"time"`
	Attempts int             `json:"attempts"`
	Error    string          `json:"error"`
	Event    json.RawMessage `json:"event"`
}

// deadFile is a file of dead letters. A lock serializes the goroutines and processes that write to
// it.
type deadFile struct{ path string }

// openDeadFile creates the file if it is missing. It returns nil if path is "".
func openDeadFile(path string) (*deadFile, error) {
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := Appendable(path); err != nil {
		return nil, err
	}
	f, err := rootfs.OpenPath(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}

	return &deadFile{path}, f.Close()
}

// lock excludes other processes from the file until unlock is called.
func (d *deadFile) lock() (unlock func(), err error) {
	l := flock.New(d.path + ".lock")
	if err := l.Lock(); err != nil {
		return nil, err
	}

	return func() { _ = l.Unlock() }, nil
}

// add appends letters, and returns once they are on the disk. It does not sync the folder, so a
// power failure right after the file was created may remove the file.
func (d *deadFile) add(letters ...deadLetter) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := Appendable(d.path); err != nil {
		return err
	}
	f, err := rootfs.OpenPath(d.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := missingNewline(f)
	if err != nil {
		return err
	}
	for _, l := range letters {
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}

	return f.Sync()
}

// missingNewline returns a newline if the last line of the file has none.
func missingNewline(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return nil, ignoreEOF(err)
	}

	return []byte{'\n'}, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}

	return err
}

// errReplaying means that another replay of the same file is running.
var errReplaying = errors.New("another replay of this sink is running")

// maxLineLength is the maximum length of a line in bytes.
const maxLineLength = 16 << 20

// process calls do for every letter until do returns an error, and keeps the letters for which do
// returns true and those that remain. It does not change letters that are added meanwhile. If the
// process is killed, no letter is lost, but the next call may call do again for some of them.
func (d *deadFile) process(ctx context.Context, do func(deadLetter) (keep bool, err error)) error {
	replayLock := flock.New(d.path + ".replay.lock")
	switch got, err := replayLock.TryLock(); {
	case err != nil:
		return err
	case !got:
		return errReplaying
	}
	defer func() { _ = replayLock.Unlock() }()

	path, err := d.moveAside()
	if err != nil || path == "" {
		return err
	}
	var kept []deadLetter
	var stop error
	for l, err := range lettersIn(path) {
		if err != nil {
			return err // the file stays for the next replay
		}
		if stop == nil {
			stop = ctx.Err()
		}
		keep := true
		if stop == nil {
			keep, stop = do(l)
		}
		if keep {
			kept = append(kept, l)
		}
	}
	if len(kept) > 0 {
		if err := d.add(kept...); err != nil {
			return errors.Join(stop, err)
		}
	}

	return errors.Join(stop, os.Remove(path))
}

// lettersIn yields the letters in a file, and an error if it cannot be read.
func lettersIn(path string) iter.Seq2[deadLetter, error] {
	return func(yield func(deadLetter, error) bool) {
		f, err := rootfs.OpenPath(path, os.O_RDONLY, 0)
		if err != nil {
			yield(deadLetter{}, err)
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxLineLength)
		for lines.Scan() {
			var l deadLetter
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				continue // a line truncated by a power failure; its event is still in the stream
			}
			if !yield(l, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(deadLetter{}, fmt.Errorf("%s: %w", path, err))
		}
	}
}

// moveAside moves the letters to another file. If a killed replay left letters there, it appends to
// them. It returns the name of that file, or "" if there are no letters.
func (d *deadFile) moveAside() (string, error) {
	aside := d.path + ".replay"
	unlock, err := d.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	_, err = os.Stat(aside)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(d.path, aside)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return aside, err
	}
	if err != nil {
		return "", err
	}

	more, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return aside, nil
	}
	if err != nil {
		return "", err
	}
	f, err := rootfs.OpenPath(aside, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	newline, err := missingNewline(f)
	if err != nil {
		return "", err
	}
	if _, err := f.Write(append(newline, more...)); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}

	return aside, os.Remove(d.path)
}

// list calls do for every letter without changing anything.
func (d *deadFile) list(do func(deadLetter) error) error {
	for _, path := range []string{d.path + ".replay", d.path} {
		for l, err := range lettersIn(path) {
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err == nil {
				err = do(l)
			}
			if err != nil {
				return err
			}
		}
	}

	return nil
}
