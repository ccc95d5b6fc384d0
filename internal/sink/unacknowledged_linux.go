package sink

import (
	"crypto/tls"
	"net"

	"golang.org/x/sys/unix"
)

// tcpClose is the state of a connection that the peer has reset (linux/tcp_states.h).
const tcpClose = 7

// unacknowledged returns how many sent bytes the peer has not acknowledged, and whether it has
// reset the connection.
func unacknowledged(conn net.Conn) (n int, reset bool) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		if waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = waiting
		}
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			reset = info.State == tcpClose
		}
	})

	return n, reset
}
