package local

import (
	"errors"

	"golang.org/x/sys/windows"
)

// refused reports whether the error means that nobody listens on an existing socket.
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// transient reports whether the error means that a connection could not be accepted for lack of
// resources, or was aborted by its peer.
func transient(err error) bool {
	return errors.Is(err, windows.WSAEMFILE) || errors.Is(err, windows.WSAENOBUFS) || errors.Is(err, windows.WSAECONNABORTED)
}
