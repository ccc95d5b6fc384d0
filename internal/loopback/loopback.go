// Package loopback recognizes hosts that are always this machine. Connections to them do not leave
// the machine, so they may carry credentials without TLS.
package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether a host without a port is this machine, without a DNS lookup: a loopback
// address, or a name that is reserved for it, such as localhost (RFC 6761, section 6.3).
func Host(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)

	return err == nil && address.Unmap().IsLoopback()
}
