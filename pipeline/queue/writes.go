package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
)

// DurableWrites counts the writes since the streams were created: every message, and every removal
// of one. With sync_always each costs the server an fsync. It is for benchmarks.
func (s *Streams) DurableWrites(ctx context.Context) (map[string]uint64, error) {
	writes := map[string]uint64{}
	for _, part := range []struct{ name, stream, removed string }{
		{"jobs", s.JobsStream(), "jobs acknowledged"},
		{"events", s.ResultsStream(), ""},
		{"dead", s.DeadStream(), ""},
		{"ledger", s.LedgerStream(), ""},
		{"control", jets.KeyStream + s.ControlBucket(), ""},
	} {
		stream, err := s.js.Stream(ctx, part.stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", part.stream, err)
		}
		state := stream.CachedInfo().State
		writes[part.name] = state.LastSeq
		if part.removed != "" {
			writes[part.removed] = state.LastSeq - state.Msgs
		}
	}
	consumers := s.results.ListConsumers(ctx)
	for c := range consumers.Info() {
		if c.Config.AckPolicy == jetstream.AckExplicitPolicy {
			writes["outcomes acknowledged"] += c.AckFloor.Consumer
		}
	}
	return writes, consumers.Err()
}
