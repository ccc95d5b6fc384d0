package local

import (
	"net"
	"strconv"
	"strings"

	"backburn/internal/loopback"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// maxSocketPath is the maximum length of a configured path in bytes. macOS allows 103, which must
// also suffice for the suffix that a new socket has until it is renamed.
const maxSocketPath = 103 - len(newSuffix)

// Rule describes what Valid accepts, for messages.
const Rule = `a unix socket such as "unix:/run/backburn/clamd.sock", a loopback address such as "127.0.0.1:3310", or "" for none`

// Valid reports whether an address can be listened on: "unix:" with an absolute path, or a loopback
// address with a port. "" means none, and is valid.
func Valid(address string) bool {
	if address == "" {
		return true
	}
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return strings.HasPrefix(path, "/") && len(path) <= maxSocketPath && !strings.HasSuffix(path, "/")
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}

	return loopback.Host(host)
}

// SocketPath returns the path of a Unix socket's address.
func SocketPath(address string) (string, bool) { return strings.CutPrefix(address, unixPrefix) }

// newSuffix is appended to the name of a socket until it has its mode.
const newSuffix = ".new"
