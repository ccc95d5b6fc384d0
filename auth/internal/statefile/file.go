// Package statefile reads and writes a small file that survives crashes. No other user can read or
// replace it: its mode is 0600, it is never a link, and others cannot write to its folder. On
// Windows, only its type is checked. A write replaces the whole file or nothing, even if the
// process or the machine crashes.
package statefile

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"backburn/auth/internal/safepath"
)

const (
	maxFile  = 64 << 10 // bytes
	lockPoll = 20 * time.Millisecond
)

// Stages of writing, for tests that end the process in the middle.
const (
	StageWritten = "written" // the temporary file was written
	StageSynced  = "synced"  // the temporary file was synced
	StageRenamed = "renamed" // the temporary file was renamed to the state file
	StageDurable = "durable" // the folder was synced
)

// File is a state file. Hook, if set, is called at each stage of Write.
type File struct {
	Path string
	Hook func(stage string)
}

// At calls Hook.
func (f File) At(stage string) {
	if f.Hook != nil {
		f.Hook(stage)
	}
}

// Read returns the contents; the error matches fs.ErrNotExist if there is no file.
func (f File) Read() ([]byte, error) {
	if err := f.checkDir(); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(f.Path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Path)
	}

	file, err := os.OpenFile(f.Path, os.O_RDONLY|safepath.NoFollow|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(info); err != nil {
		return nil, fmt.Errorf("%s %w", f.Path, err)
	}

	return io.ReadAll(io.LimitReader(file, maxFile))
}

// Write replaces the file, and returns when the new contents would survive a power failure.
func (f File) Write(contents []byte) error {
	dir, err := f.makeDir()
	if err != nil {
		return err
	}

	tmp, err := f.writeTemp(dir, contents)
	if err != nil {
		return err
	}

	f.At(StageSynced)

	if err := os.Rename(tmp, f.Path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("%w (in a container, mount the folder and not the file)", err)
	}

	f.At(StageRenamed)

	if err := syncDir(dir); err != nil {
		return err
	}

	f.At(StageDurable)

	return nil
}

// writeTemp writes and syncs a temporary file in the same folder, and returns its name. If it
// fails, it removes the file.
func (f File) writeTemp(dir string, contents []byte) (name string, err error) {
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(f.Path)+".*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()

	if _, err = tmp.Write(contents); err != nil {
		return "", err
	}

	f.At(StageWritten)

	if err = tmp.Sync(); err != nil {
		return "", err
	}

	return tmp.Name(), tmp.Close()
}

// Lock takes an exclusive lock against other processes on this machine, and waits for it until ctx
// ends. It uses a separate lock file, because Write replaces the file itself.
func (f File) Lock(ctx context.Context) (unlock func(), err error) {
	if _, err := f.makeDir(); err != nil {
		return nil, err
	}

	file, err := os.OpenFile(f.Path+".lock", os.O_CREATE|os.O_RDWR|safepath.NoFollow, 0o600)
	if err != nil {
		return nil, err
	}

	for {
		ok, err := tryLock(file)
		if ok {
			return func() { _ = file.Close() }, nil // closing unlocks
		}
		if err == nil {
			select {
			case <-time.After(lockPoll):
			case <-ctx.Done():
				err = ctx.Err()
			}
		}

		if err != nil {
			_ = file.Close()
			return nil, err
		}
	}
}

// makeDir creates the file's folder if it is missing, and returns it after a check.
func (f File) makeDir() (string, error) {
	dir := filepath.Dir(f.Path)
	if err := f.checkDir(); err != nil { // check before creating anything in it
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}

	return dir, f.checkDir()
}

// checkDir returns an error if other users could replace the file or its folder.
func (f File) checkDir() error {
	if err := checkDir(filepath.Dir(f.Path)); err != nil {
		return err
	}
	return safepath.Check(f.Path)
}
