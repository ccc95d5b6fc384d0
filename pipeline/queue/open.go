package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
)

// Open creates the streams and buckets, or updates them to the topology, and returns a handle on
// them. While the server is not ready for JetStream it retries until ctx ends, and then returns
// ErrUnavailable.
func Open(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	js, err := jets.New(nc, t.Domain,
		jetstream.WithPublishAsyncMaxPending(4096),
		jetstream.WithPublishAsyncTimeout(commitTimeout))
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	if err := checkServer(nc); err != nil {
		return nil, err
	}

	s := newStreams(js, t)
	if err := s.Provision(ctx); err != nil {
		return nil, err
	}
	q := newQueue(s)
	if err := migrate(ctx, q); err != nil {
		return nil, err
	}

	return q, nil
}

// minServerMajor and minServerMinor are the oldest supported version of the NATS server: the first
// with atomic batches.
const minServerMajor, minServerMinor = 2, 12

// checkServer refuses a server that is too old, before anything is created on it.
func checkServer(nc *nats.Conn) error {
	var major, minor int
	version := nc.ConnectedServerVersion()
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return nil //nolint:nilerr // not connected now, or a version of its own kind: the requests will tell
	}

	if major < minServerMajor || major == minServerMajor && minor < minServerMinor {
		return fmt.Errorf("the NATS server is version %s, and atomic publishing needs %d.%d or later: update it",
			version, minServerMajor, minServerMinor)
	}

	return nil
}
