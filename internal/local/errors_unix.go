//go:build unix

package local

import (
	"errors"
	"syscall"
)

// refused reports whether the error means that nobody listens on an existing socket.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// transient reports whether the error means that a connection could not be accepted for lack of
// resources, or was aborted by its peer.
func transient(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}

	return false
}
