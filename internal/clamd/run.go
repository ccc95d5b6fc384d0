package clamd

import (
	"context"
	"fmt"
	"time"

	"backburn/internal/local"
)

// Run serves clients until ctx ends. Clients that wait for a verdict are then answered immediately,
// with what is known; other running commands get the grace period. Run returns once all connections
// are closed; the error is nil if ctx ended. It must be called only once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	if err := s.Server.Run(ctx, grace, s.serve); err != nil {
		return fmt.Errorf("clamd: %w", err)
	}

	return nil
}

// serve serves one client until the connection ends.
func (s *Server) serve(conn *local.Conn) {
	n := &session{s: s, p: newPeer(conn)}
	n.commands.SetLimit(sessionCommands)
	defer n.p.close()
	defer func() { _ = n.commands.Wait() }()

	for n.next() && n.numbered {
	}
}
