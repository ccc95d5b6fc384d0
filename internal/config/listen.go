package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"backburn/internal/local"
)

// listener is an address on which the process listens.
type listener struct {
	key, address string
}

// clashes returns pairs of listeners that cannot listen at the same time: a listener, and an
// earlier one in the list.
func clashes(all []listener) [][2]listener {
	var pairs [][2]listener
	for i, l := range all {
		for _, earlier := range all[:i] {
			if sameListener(l.address, earlier.address) {
				pairs = append(pairs, [2]listener{l, earlier})
			}
		}
	}

	return pairs
}

// sameListener reports whether a process cannot listen on both addresses.
func sameListener(a, b string) bool {
	aPath, aIsPath := local.SocketPath(a)
	bPath, bIsPath := local.SocketPath(b)
	if aIsPath || bIsPath {
		return aIsPath && bIsPath && filepath.Clean(aPath) == filepath.Clean(bPath)
	}

	aHost, aPort, aErr := net.SplitHostPort(a)
	bHost, bPort, bErr := net.SplitHostPort(b)
	if aErr != nil || bErr != nil || aPort != bPort || aPort == "0" {
		return false
	}

	return sameHost(aHost, bHost)
}

// sameHost reports whether two hosts to listen on have an address in common. It looks up no names.
func sameHost(a, b string) bool {
	aAddr, aIsAddr := listenAddr(a)
	bAddr, bIsAddr := listenAddr(b)
	if !aIsAddr || !bIsAddr {
		return strings.EqualFold(a, b)
	}

	return aAddr == bAddr || includes(aAddr, bAddr) || includes(bAddr, aAddr)
}

// listenAddr returns the address of a host to listen on. No host means all addresses.
func listenAddr(host string) (netip.Addr, bool) {
	switch strings.ToLower(host) {
	case "":
		return netip.IPv6Unspecified(), true
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	addr, err := netip.ParseAddr(host)

	return addr.Unmap(), err == nil
}

// includes reports whether wildcard is a wildcard address that includes addr. The wildcard address
// of IPv6 also includes IPv4.
func includes(wildcard, addr netip.Addr) bool {
	return wildcard.IsUnspecified() && (wildcard.Is6() || addr.Is4())
}
