package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline/fleet"
)

// ErrNoQueue says that nothing of Backburn's is on the server under the prefix.
var ErrNoQueue = errors.New("no Backburn queue")

// Attach returns a handle on a queue that exists, for those who look or submit and must not
// change how the queue is made: unlike Open it creates and updates nothing. It returns
// ErrNoQueue where a stream or bucket is missing, and ErrFormat for the queue of a later version.
func Attach(ctx context.Context, nc *nats.Conn, prefix string) (*Queue, error) {
	return AttachDomain(ctx, nc, "", prefix)
}

// AttachDomain is Attach for a queue in a JetStream domain, which the connection reaches through a
// leaf node.
func AttachDomain(ctx context.Context, nc *nats.Conn, domain, prefix string) (*Queue, error) {
	js, err := jets.New(nc, domain)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	q := newQueue(nc, js, Topology{Prefix: prefix})
	for _, s := range []struct {
		name string
		dst  *jetstream.Stream
	}{
		{q.JobsStream(), &q.jobs},
		{q.LedgerStream(), &q.ledger},
		{q.ResultsStream(), &q.results},
		{q.DeadStream(), &q.dead},
	} {
		if *s.dst, err = js.Stream(ctx, s.name); err != nil {
			return nil, q.lacks("stream "+s.name, err)
		}
	}
	if err := checkFormat(q.ledger.CachedInfo().Config); err != nil {
		return nil, err
	}
	if q.control, err = js.KeyValue(ctx, q.ControlBucket()); err != nil {
		return nil, q.lacks("bucket "+q.ControlBucket(), err)
	}
	if q.files, err = js.ObjectStore(ctx, q.FilesBucket()); err != nil {
		return nil, q.lacks("object bucket "+q.FilesBucket(), err)
	}
	q.topology = q.found(prefix)
	q.noteLedger(q.ledger.CachedInfo())

	return q, nil
}

// AttachPublisher returns the intake of a queue that exists, for gateways: it looks up the
// object bucket and nothing else, so that it needs no right to anything else. It returns
// ErrNoQueue where there is none. A gateway with an account of its own makes js with
// jetstream.NewWithAPIPrefix, as `backburn acl` tells it.
func AttachPublisher(ctx context.Context, js jetstream.JetStream, prefix string) (*Publisher, error) {
	var err error
	q := newQueue(js.Conn(), js, Topology{Prefix: prefix})
	if q.files, err = js.ObjectStore(ctx, q.FilesBucket()); err != nil {
		return nil, q.lacks("object bucket "+q.FilesBucket(), err)
	}
	return q.Publisher(), nil
}

// AttachOrOpen is for those who need a queue but leave it to others how it is made, such as
// watchers: it attaches to the one that is there, and only where there is none makes it. Who
// may not do that waits until ctx ends for somebody who may, a worker.
func AttachOrOpen(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	for {
		q, err := attachOrOpen(ctx, nc, t)
		if err == nil {
			return q, nil
		}
		if !errors.Is(err, ErrUnavailable) && !jets.Is(err, jets.Unavailable) {
			return nil, err
		}
		if fleet.Sleep(ctx, 200*time.Millisecond) != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// attachOrOpen tries it once. The try is bounded: what is forbidden is not answered, and meanwhile
// somebody else may have made the queue.
func attachOrOpen(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, provisionAttempt)
	defer cancel()
	q, err := AttachDomain(ctx, nc, t.Domain, t.Prefix)
	if errors.Is(err, ErrNoQueue) {
		made, merr := Open(ctx, nc, t)
		if merr != nil {
			return nil, fmt.Errorf("%w: %w; where this process may not make the queue, start a worker first", err, merr)
		}
		return made, nil
	}
	if err != nil {
		return nil, err
	}
	if err := q.CheckMark(t.Simulated); err != nil {
		return nil, err
	}
	q.topology = t

	return q, nil
}

// lacks says why a part of the queue could not be looked up.
func (q *Queue) lacks(part string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%w under prefix %q (%s is not there): has `backburn run` or `worker` ever started here?",
			ErrNoQueue, q.prefix, part)
	}
	return fmt.Errorf("%s: %w", part, err)
}

// found is the topology of the streams that are there.
func (q *Queue) found(prefix string) Topology {
	jobs := q.jobs.CachedInfo().Config
	events := q.results.CachedInfo().Config
	dead := q.dead.CachedInfo().Config

	return Topology{
		Prefix:          prefix,
		Replicas:        jobs.Replicas,
		ResultsMaxAge:   events.MaxAge,
		ResultsMaxBytes: events.MaxBytes,
		JobsMaxBytes:    jobs.MaxBytes,
		LedgerMaxBytes:  q.ledger.CachedInfo().Config.MaxBytes,
		DeadMaxAge:      dead.MaxAge,
		DeadMaxBytes:    dead.MaxBytes,
		Simulated:       isSimulated(q.ledger.CachedInfo().Config),
	}
}
