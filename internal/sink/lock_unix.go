//go:build unix

package sink

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock locks the file, so that no other Backburn process writes between checking the end of the
// file and writing there. If the file system does not support locks, it does nothing.
func lock(f *os.File) (unlock func()) {
	fd := int(f.Fd())
	err := unix.Flock(fd, unix.LOCK_EX)
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err != nil {
		return func() {}
	}

	return func() { _ = unix.Flock(fd, unix.LOCK_UN) }
}
