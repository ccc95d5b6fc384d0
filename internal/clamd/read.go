package clamd

import (
	"net"
	"time"
)

// Read reads for as long as bytes come: the deadline moves with them.
func (p *peer) Read(b []byte) (int, error) {
	deadline := time.Now().Add(stallTimeout)
	if !p.until.IsZero() && p.until.Before(deadline) {
		deadline = p.until
	}
	if err := p.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if u, ok := p.conn.Conn.(*net.UnixConn); ok {
		return p.receive(u, b)
	}

	return p.conn.Read(b)
}
