package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"backburn/internal/local"
)

// listener is an address on which the process listens.
type listener struct {
	key, address string
}

// listeners requires that no two listeners of the process have the same address.
func (p *collector) listeners(c Config, parts Part) {
	var all []listener
	if host, port, err := c.NATS.EmbeddedAddress(); parts&ServerPart != 0 && c.NATS.Embedded.Enabled && err == nil {
		all = append(all, listener{"nats.url", net.JoinHostPort(host, strconv.Itoa(port))})
	}
	all = append(all, listener{"http.listen", c.HTTP.Listen})
	for _, l := range []struct {
		part Part
		listener
	}{
		{APIPart, listener{"api.listen", c.API.Listen}},
		{ClamdPart, listener{"clamd.listen", c.Clamd.Listen}},
		{MailPart, listener{"mail.listen", c.Mail.Listen}},
	} {
		if parts&l.part != 0 {
			all = append(all, l.listener)
		}
	}

	for i, l := range all {
		for _, other := range all[:i] {
			if !p.failed(l.key) && !p.failed(other.key) && sameListener(l.address, other.address) {
				p.addBeside(l.key, other.key, "expected another address than that of %s, %s", other.key, quote(other.address))
			}
		}
	}
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

// includes reports whether all is a wildcard address that includes the other one. That of IPv6
// includes IPv4.
func includes(all, addr netip.Addr) bool {
	return all.IsUnspecified() && (all.Is6() || addr.Is4())
}
