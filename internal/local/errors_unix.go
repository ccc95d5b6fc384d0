//go:build unix

package local

import (
	"errors"
	"syscall"
)

// refused reports whether nobody listens on a socket that is there.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// exhausted reports whether a connection could not be accepted for want of resources, or was given
// up by its peer.
func exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}

	return false
}
