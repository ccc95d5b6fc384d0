//go:build !linux

package sink

import "net"

// unacknowledged is not supported on this system.
func unacknowledged(net.Conn) (n int, reset bool) { return 0, false }
