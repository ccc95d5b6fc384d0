package clamd

import (
	"net"
	"time"
)

// Read extends the deadline as long as data arrives.
func (p *peer) Read(b []byte) (int, error) {
	deadline := time.Now().Add(stallTimeout)
	if !p.streamDeadline.IsZero() && p.streamDeadline.Before(deadline) {
		deadline = p.streamDeadline
	}
	if err := p.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if u, ok := p.conn.Conn.(*net.UnixConn); ok {
		return p.receive(u, b)
	}

	return p.conn.Read(b)
}
