//go:build unix

package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openNonblocking opens a pipe that nobody writes to without waiting for who would, so that it
// can be refused.
const openNonblocking = syscall.O_NONBLOCK

// checkSecretMode judges the file that was opened, not the name, and the folder that it was
// found in: who can write to that can put another file there.
func checkSecretMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	mode := info.Mode().Perm()
	if mode&0o002 != 0 {
		return fmt.Errorf("has mode %#o: everybody may write to it", mode)
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		return errors.New("is in a folder that everybody may write to")
	}
	if mode&0o077 != 0 && !mountedSecret(path) {
		return fmt.Errorf("has mode %#o: others may read it: chmod 600", mode)
	}
	return nil
}
