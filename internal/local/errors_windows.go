package local

import (
	"errors"

	"golang.org/x/sys/windows"
)

// refused reports whether nobody listens on a socket that is there.
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// exhausted reports whether a connection could not be accepted for want of resources, or was given
// up by its peer.
func exhausted(err error) bool {
	return errors.Is(err, windows.WSAEMFILE) || errors.Is(err, windows.WSAENOBUFS) || errors.Is(err, windows.WSAECONNABORTED)
}
