package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
)

// DurableWrites counts the writes since the streams were created: every message, and every removal
// of one. With sync_always each costs the server an fsync. It is for benchmarks.
func (q *Queue) DurableWrites(ctx context.Context) (map[string]uint64, error) {
	writes := map[string]uint64{}
	for _, s := range []struct{ name, stream, removed string }{
		{"jobs", q.JobsStream(), "jobs acknowledged"},
		{"events", q.ResultsStream(), ""},
		{"dead", q.DeadStream(), ""},
		{"ledger", q.LedgerStream(), ""},
		{"control", jets.KeyStream + q.ControlBucket(), ""},
	} {
		stream, err := q.js.Stream(ctx, s.stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.stream, err)
		}
		state := stream.CachedInfo().State
		writes[s.name] = state.LastSeq
		if s.removed != "" {
			writes[s.removed] = state.LastSeq - state.Msgs
		}
	}
	consumers := q.results.ListConsumers(ctx)
	for c := range consumers.Info() {
		if c.Config.AckPolicy == jetstream.AckExplicitPolicy {
			writes["outcomes acknowledged"] += c.AckFloor.Consumer
		}
	}
	return writes, consumers.Err()
}
