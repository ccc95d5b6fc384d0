package clamd

import "net"

// receive reads from a unix socket. Windows passes no files.
func (p *peer) receive(u *net.UnixConn, b []byte) (int, error) { return u.Read(b) }
