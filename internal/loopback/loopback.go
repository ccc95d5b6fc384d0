// Package loopback recognizes hosts that are always this machine. Connections to them do not leave
// the machine, so they may carry credentials without TLS.
package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether a host without a port is this machine, without a DNS lookup: a loopback
// address, or localhost. Names below localhost are reserved, too (RFC 6761, section 6.3), but some
// resolvers ask DNS for them.
func Host(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)

	return err == nil && address.Unmap().IsLoopback()
}
