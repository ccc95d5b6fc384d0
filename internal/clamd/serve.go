package clamd

import (
	"backburn/internal/local"
)

// serve serves one client until the connection ends.
func (s *Server) serve(conn *local.Conn) {
	n := &session{s: s, p: newPeer(conn)}
	n.commands.SetLimit(sessionCommands)
	defer n.p.close()
	defer func() { _ = n.commands.Wait() }()

	for n.next() && n.numbered {
	}
}
