package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	grantHeader  = "backburn grant v1\n"
	maxGrantFile = 64 << 10 // bytes
)

// Stages of writing a grant, for tests that end the process in the middle.
const (
	stageResponse = "response" // the answer is here, nothing is written
	stageWritten  = "written"  // the temporary file is written
	stageSynced   = "synced"   // and on the disk
	stageRenamed  = "renamed"  // it has its name
	stageDurable  = "durable"  // and the folder is on the disk
)

// grantFile is the sealed refresh token in a file: mode 0600, never a link, in a folder
// that others may not write to. It is replaced as a whole or not at all, whenever the
// process or the machine dies.
type grantFile struct {
	path string
	hook func(stage string)
}

func (f grantFile) at(stage string) {
	if f.hook != nil {
		f.hook(stage)
	}
}

// read returns the sealed bytes, or ErrKeyNotFound.
func (f grantFile) read() ([]byte, error) {
	info, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrKeyNotFound
	case err != nil:
		return nil, err
	}
	if err := checkStateMode(info); err != nil {
		return nil, fmt.Errorf("%s %w", f.path, err)
	}
	raw, err := f.readAll()
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(raw, []byte(grantHeader))
	if !ok {
		return nil, fmt.Errorf("%s is not a grant file", f.path)
	}
	sealed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(body)))
	if err != nil {
		return nil, fmt.Errorf("%s is damaged", f.path)
	}
	return sealed, nil
}

func (f grantFile) readAll() ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxGrantFile))
}

// write replaces the file by one with the sealed bytes, and returns when that would survive
// a power cut.
func (f grantFile) write(sealed []byte) (err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := checkStateDir(dir); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(f.path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = io.WriteString(tmp, grantHeader+base64.StdEncoding.EncodeToString(sealed)+"\n"); err != nil {
		return err
	}
	f.at(stageWritten)
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	f.at(stageSynced)
	if err = os.Rename(tmp.Name(), f.path); err != nil {
		return fmt.Errorf("%w (in a container, mount the folder and not the file)", err)
	}
	f.at(stageRenamed)
	if err := syncDir(dir); err != nil {
		return err
	}
	f.at(stageDurable)
	return nil
}

// lock takes the lock file beside the grant, which other processes of this machine honour.
// It is another file because the grant itself is replaced.
func (f grantFile) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := tryLock(file)
		if err == nil && ok {
			return func() { _ = file.Close() }, nil // closing unlocks
		}
		if err == nil {
			select {
			case <-time.After(20 * time.Millisecond):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		_ = file.Close()
		return nil, err
	}
}
