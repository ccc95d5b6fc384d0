package sink

import (
	"context"
	"net"
)

// UpdateBehind updates the number of pending events.
func (s *Sink) UpdateBehind(ctx context.Context) { s.updateBehind(ctx) }

// SetDial sets the function that connects to the receiver.
func (s *Syslog) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	s.dialContext = dial
}
