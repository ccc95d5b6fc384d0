//go:build unix

package sink

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock waits until no other writer of ours is between looking at the end of the file and writing
// there. Where the file system knows no locks, it goes without.
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
