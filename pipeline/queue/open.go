package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
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
	s.configured = true
	if err := s.Provision(ctx); err != nil {
		return nil, err
	}
	err = untilAnswered(ctx, "look up the streams", func(ctx context.Context) error {
		err := s.attach(ctx)
		if errors.Is(err, ErrNoQueue) { // a server of the cluster does not know a new stream yet
			return &jets.Error{Class: jets.Unavailable, Err: err}
		}

		return err
	})
	if err != nil {
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
		return nil //nolint:nilerr // not connected, or an unusual version: the following requests will fail if it is too old
	}

	if major < minServerMajor || major == minServerMajor && minor < minServerMinor {
		return fmt.Errorf("the NATS server is version %s, and atomic publishing needs %d.%d or later: update it",
			version, minServerMajor, minServerMinor)
	}

	return nil
}

// Attach returns a handle on an existing queue, for processes that only read or submit. Unlike
// Open, it creates and updates nothing. domain is the JetStream domain if the connection is to a
// leaf node, or "" for that of the connected server. It returns ErrNoQueue if a stream or bucket is
// missing, and ErrFormat for the queue of a later version.
func Attach(ctx context.Context, nc *nats.Conn, domain, prefix string) (*Queue, error) {
	js, err := jets.New(nc, domain)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	s := newStreams(js, Topology{Prefix: prefix})
	if err := s.attach(ctx); err != nil {
		return nil, err
	}
	if err := checkFormat(s.ledger.CachedInfo().Config); err != nil {
		return nil, err
	}
	s.topology = s.existingTopology()

	return newQueue(s), nil
}

// AttachPublisher returns a publisher for an existing queue, for gateways. It looks up only the
// object bucket, so a gateway needs no permission to look up streams. It returns ErrNoQueue if
// there is no queue. A gateway in an account of its own makes js with jetstream.NewWithAPIPrefix,
// with the prefix that `backburn acl` prints.
func AttachPublisher(ctx context.Context, js jetstream.JetStream, prefix string) (*Publisher, error) {
	s := newStreams(js, Topology{Prefix: prefix})
	if err := s.attachFiles(ctx); err != nil {
		return nil, err
	}

	return &Publisher{
		jobs:    &Jobs{streams: s, commits: s.newCommitter()},
		objects: &Objects{nc: js.Conn(), store: s.files},
	}, nil
}

// AttachOrOpen attaches to an existing queue, and creates one only if there is none. It is for
// processes such as watchers, which need a queue but do not configure it. A process without
// permission to create the queue waits until a worker has created it, or ctx ends.
func AttachOrOpen(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	for {
		q, err := attachOrOpen(ctx, nc, t)
		if err == nil {
			return q, nil
		}
		if !errors.Is(err, ErrUnavailable) && !jets.Is(err, jets.Unavailable) {
			return nil, err
		}
		if pipeline.Sleep(ctx, 200*time.Millisecond) != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// attachOrOpen makes one attempt. The attempt is bounded in time: the server never answers a
// forbidden request, and another process may create the queue meanwhile.
func attachOrOpen(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, provisionAttempt)
	defer cancel()
	q, err := Attach(ctx, nc, t.Domain, t.Prefix)
	if errors.Is(err, ErrNoQueue) {
		made, merr := Open(ctx, nc, t)
		if merr != nil {
			return nil, fmt.Errorf("%w: %w; if this process may not create the queue, start a worker first", err, merr)
		}
		return made, nil
	}
	if err != nil {
		return nil, err
	}
	if err := q.streams.CheckSimulated(t.Simulated); err != nil {
		return nil, err
	}
	q.streams.topology = t
	q.streams.configured = true

	return q, nil
}

func (s *Streams) existingTopology() Topology {
	jobs := s.jobs.CachedInfo().Config
	events := s.results.CachedInfo().Config
	dead := s.dead.CachedInfo().Config

	return Topology{
		Prefix:    s.prefix,
		Replicas:  jobs.Replicas,
		Results:   EventLimits{MaxAge: events.MaxAge, MaxBytes: events.MaxBytes},
		Queue:     QueueLimits{JobsMaxBytes: jobs.MaxBytes, LedgerMaxBytes: s.ledger.CachedInfo().Config.MaxBytes},
		Dead:      DeadLimits{MaxAge: dead.MaxAge, MaxBytes: dead.MaxBytes},
		Simulated: isSimulated(s.ledger.CachedInfo().Config),
	}
}
