package clamd

import (
	"context"
	"fmt"
	"time"
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
