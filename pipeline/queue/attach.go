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

// ErrNoQueue says that the server has no Backburn streams under the prefix.
var ErrNoQueue = errors.New("no Backburn queue")

// Attach returns a handle on an existing queue, for processes that only read or submit. Unlike
// Open, it creates and updates nothing. The domain is that of JetStream, which the connection
// reaches through a leaf node; "" for that of its server. It returns ErrNoQueue if a stream or
// bucket is missing, and ErrFormat for the queue of a later version.
func Attach(ctx context.Context, nc *nats.Conn, domain, prefix string) (*Queue, error) {
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
		{q.LedgerStream(), &q.ledger.stream},
		{q.ResultsStream(), &q.results},
		{q.DeadStream(), &q.dead.stream},
	} {
		if *s.dst, err = js.Stream(ctx, s.name); err != nil {
			return nil, q.lookupError("stream "+s.name, err)
		}
	}
	if err := checkFormat(q.ledger.stream.CachedInfo().Config); err != nil {
		return nil, err
	}
	if q.control, err = js.KeyValue(ctx, q.ControlBucket()); err != nil {
		return nil, q.lookupError("bucket "+q.ControlBucket(), err)
	}
	if q.files, err = js.ObjectStore(ctx, q.FilesBucket()); err != nil {
		return nil, q.lookupError("object bucket "+q.FilesBucket(), err)
	}
	q.topology = q.existingTopology(prefix)
	q.recordLedgerInfo(q.ledger.stream.CachedInfo())

	return q, nil
}

// AttachPublisher returns a publisher for an existing queue, for gateways. It looks up only the
// object bucket, so it needs no other permission. It returns ErrNoQueue if there is no queue. A
// gateway in an account of its own makes js with jetstream.NewWithAPIPrefix, with the prefix that
// `backburn acl` prints.
func AttachPublisher(ctx context.Context, js jetstream.JetStream, prefix string) (*Publisher, error) {
	var err error
	q := newQueue(js.Conn(), js, Topology{Prefix: prefix})
	if q.files, err = js.ObjectStore(ctx, q.FilesBucket()); err != nil {
		return nil, q.lookupError("object bucket "+q.FilesBucket(), err)
	}
	return q.Publisher(), nil
}

// AttachOrOpen attaches to an existing queue, and creates one only if there is none. It is for
// processes such as watchers, which need a queue but do not configure it. A process without
// permission to create the queue waits until a worker does, or ctx ends.
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
	if err := q.CheckMark(t.Simulated); err != nil {
		return nil, err
	}
	q.topology = t

	return q, nil
}

// lookupError returns an error that says why a part of the queue could not be looked up.
func (q *Queue) lookupError(part string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%w under prefix %q (%s is not there): has `backburn run` or `worker` ever started here?",
			ErrNoQueue, q.prefix, part)
	}
	return fmt.Errorf("%s: %w", part, err)
}

// existingTopology returns the topology of the existing streams.
func (q *Queue) existingTopology(prefix string) Topology {
	jobs := q.jobs.CachedInfo().Config
	events := q.results.CachedInfo().Config
	dead := q.dead.stream.CachedInfo().Config

	return Topology{
		Prefix:         prefix,
		Replicas:       jobs.Replicas,
		Results:        EventLimits{MaxAge: events.MaxAge, MaxBytes: events.MaxBytes},
		JobsMaxBytes:   jobs.MaxBytes,
		LedgerMaxBytes: q.ledger.stream.CachedInfo().Config.MaxBytes,
		Dead:           DeadLimits{MaxAge: dead.MaxAge, MaxBytes: dead.MaxBytes},
		Simulated:      isSimulated(q.ledger.stream.CachedInfo().Config),
	}
}
