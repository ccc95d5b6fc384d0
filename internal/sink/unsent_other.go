//go:build !linux

package sink

import "net"

// unsent is not supported on this system.
func unsent(net.Conn) (n int, reset bool) { return 0, false }
