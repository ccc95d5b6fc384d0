package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Repair checks that the streams and buckets exist and have the right limits, and corrects outside
// changes, because limits that are too narrow drop data. It returns the names of those that it
// created or changed.
func (s *Streams) Repair(ctx context.Context) ([]string, error) {
	var wrong []string
	for _, want := range append(s.topology.Streams(), s.topology.buckets()...) {
		is, err := s.js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			wrong = append(wrong, want.Name)
		case err != nil:
			return nil, fmt.Errorf("stream %s: %w", want.Name, err)
		case !matchesConfig(is.CachedInfo().Config, want):
			wrong = append(wrong, want.Name)
		}
	}

	if len(wrong) == 0 {
		return nil, nil
	}

	return wrong, s.Provision(ctx)
}
