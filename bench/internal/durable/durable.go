// Package durable counts durable writes.
package durable

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline/queue"
)

// Writes counts the writes since the streams were created: every message, and every removal of one.
// With sync_always each costs the server an fsync.
func Writes(ctx context.Context, q *queue.Queue) (map[string]uint64, error) {
	writes := map[string]uint64{}
	for _, part := range []struct{ name, stream, removed string }{
		{"jobs", q.JobsStream(), "jobs acknowledged"},
		{"events", q.ResultsStream(), ""},
		{"dead", q.DeadStream(), ""},
		{"ledger", q.LedgerStream(), ""},
		{"control", jets.KeyStream + q.ControlBucket(), ""},
	} {
		stream, err := q.JetStream().Stream(ctx, part.stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", part.stream, err)
		}
		state := stream.CachedInfo().State
		writes[part.name] = state.LastSeq
		if part.removed != "" {
			writes[part.removed] = state.LastSeq - state.Msgs
		}
	}

	events, err := q.JetStream().Stream(ctx, q.ResultsStream())
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", q.ResultsStream(), err)
	}
	consumers := events.ListConsumers(ctx)
	for c := range consumers.Info() {
		if c.Config.AckPolicy == jetstream.AckExplicitPolicy {
			writes["outcomes acknowledged"] += c.AckFloor.Consumer
		}
	}

	return writes, consumers.Err()
}
