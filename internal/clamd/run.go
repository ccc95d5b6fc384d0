package clamd

import (
	"context"
	"fmt"
	"time"
)

// Run serves until ctx ends; those who wait are then answered with what is known, and what else is
// under way gets the grace time. It returns when no connection is left, nil when it was ctx that
// ended it. Call it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	if err := s.listener.Serve(ctx, grace, s.Close, s.kill, s.serve); err != nil {
		return fmt.Errorf("clamd: %w", err)
	}

	return nil
}
