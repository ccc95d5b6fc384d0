//go:build !linux

package sink

import "net"

// unsent cannot be told here.
func unsent(net.Conn) (n int, reset bool) { return 0, false }
