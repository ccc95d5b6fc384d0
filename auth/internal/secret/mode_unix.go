//go:build unix

package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// openNonblocking opens a pipe that nobody writes to without waiting for who would, so that it
// can be refused.
const openNonblocking = syscall.O_NONBLOCK

// checkMode judges the file that was opened, whatever now has its name.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	mode := info.Mode().Perm()
	if mode&0o002 != 0 {
		return fmt.Errorf("has mode %#o: everybody may write to it", mode)
	}
	if mode&0o077 != 0 && !mounted(path) {
		return fmt.Errorf("has mode %#o: others may read it: chmod 600", mode)
	}
	return nil
}
