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
	for what, name := range map[string]string{
		"jobs":    q.JobsStream(),
		"events":  q.ResultsStream(),
		"dead":    q.DeadStream(),
		"ledger":  q.LedgerStream(),
		"control": jets.KeyStream + q.ControlBucket(),
	} {
		stream, err := q.JetStream().Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}

		state := stream.CachedInfo().State
		writes[what] = state.LastSeq
		switch what {
		case "jobs":
			writes["jobs acknowledged"] = state.LastSeq - state.Msgs
		case "events":
			consumers := stream.ListConsumers(ctx)
			for c := range consumers.Info() {
				if c.Config.AckPolicy == jetstream.AckExplicitPolicy {
					writes["outcomes acknowledged"] += c.AckFloor.Consumer
				}
			}
			if err := consumers.Err(); err != nil {
				return nil, err
			}
		}
	}

	return writes, nil
}
