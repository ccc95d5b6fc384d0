package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// letter is a line of the file of dead letters.
type letter struct {
	Time     time.Time       `json:"time"`
	Attempts int             `json:"attempts"`
	Error    string          `json:"error"`
	Event    json.RawMessage `json:"event"`
}

// deadFile is a file of dead letters. Processes that write to it take turns.
type deadFile struct{ path string }

// openDeadFile makes the file where it is missing. Without a path there is none.
func openDeadFile(path string) (*deadFile, error) {
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &deadFile{path}, f.Close()
}

// lock keeps other processes from the file, for a moment.
func (d *deadFile) lock() (unlock func(), err error) {
	l := flock.New(d.path + ".lock")
	if err := l.Lock(); err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// add appends letters. They are on the disk when it returns.
func (d *deadFile) add(letters ...letter) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := ownLine(f)
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

// ownLine ends a line that somebody left without its end, in front of what is appended.
func ownLine(f *os.File) ([]byte, error) {
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

// errReplaying is another replay of the same file.
var errReplaying = errors.New("another replay of this sink is running")

// maxLetter bounds a line, in bytes.
const maxLetter = 16 << 20

// each gives every letter to do, and keeps those for which do reports true. Letters that come
// meanwhile are not touched. If it is interrupted, or the process is killed, no letter is lost,
// and some may be given to do again.
func (d *deadFile) each(ctx context.Context, do func(letter) (keep bool, err error)) error {
	alone := flock.New(d.path + ".replay.lock")
	if got, err := alone.TryLock(); err != nil || !got {
		return errors.Join(err, errReplaying)
	}
	defer func() { _ = alone.Unlock() }()

	taken, err := d.take()
	if err != nil || taken == "" {
		return err
	}
	f, err := os.Open(taken)
	if err != nil {
		return err
	}
	defer f.Close()
	var (
		kept  []letter
		stop  error
		lines = bufio.NewScanner(f)
	)
	lines.Buffer(nil, maxLetter)
	for lines.Scan() {
		var l letter
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			continue // a line that was torn when the power went; its event is in the stream
		}
		if stop == nil {
			stop = ctx.Err()
		}
		keep := true
		if stop == nil {
			keep, stop = do(l)
		}
		if keep || stop != nil {
			kept = append(kept, l)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", taken, err) // it is there for the next replay
	}
	if len(kept) > 0 {
		if err := d.add(kept...); err != nil {
			return errors.Join(stop, err)
		}
	}
	return errors.Join(stop, os.Remove(taken))
}

// take moves the letters aside, behind those of a replay that was killed. "" is none.
func (d *deadFile) take() (string, error) {
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
	f, err := os.OpenFile(aside, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	begin, err := ownLine(f)
	if err != nil {
		return "", err
	}
	if _, err := f.Write(append(begin, more...)); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return aside, os.Remove(d.path)
}

// list gives every letter to do, and changes nothing.
func (d *deadFile) list(do func(letter) error) error {
	for _, path := range []string{d.path + ".replay", d.path} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxLetter)
		for lines.Scan() {
			var l letter
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				continue
			}
			if err := do(l); err != nil {
				f.Close()
				return err
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
