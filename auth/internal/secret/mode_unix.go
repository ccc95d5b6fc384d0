//go:build unix

package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// openNonblocking opens a pipe without waiting for a writer, so that it can be refused.
const openNonblocking = syscall.O_NONBLOCK

// checkMode checks the type and mode of the open file, whatever path names now.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}

	mode := info.Mode().Perm()
	if mode&0o002 != 0 {
		return fmt.Errorf("has mode %#o: it is world-writable", mode)
	}
	if mode&0o077 != 0 && !isSecretMount(path) {
		return fmt.Errorf("has mode %#o: others may read it: chmod 600", mode)
	}

	return nil
}
