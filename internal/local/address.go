package local

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix:"

// maxSocketPath is the longest name that the systems allow for a socket, in bytes, less what the
// name of a new socket adds before it is put in place.
const maxSocketPath = 104 - len(newSuffix)

// Rule says what Valid accepts, for messages.
const Rule = `a unix socket such as "unix:/run/backburn/clamd.sock", an address of this machine such as "127.0.0.1:3310", or "" for none`

// Valid reports whether an address can be listened on: "unix:" and an absolute path, or a loopback
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
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return false
	}
	ip, err := netip.ParseAddr(host)

	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// SocketPath is the path of an address that names a unix socket.
func SocketPath(address string) (string, bool) { return strings.CutPrefix(address, unixPrefix) }

// newSuffix ends the name of a socket until it has its mode.
const newSuffix = ".new"
