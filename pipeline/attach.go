package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoQueue says that nothing of Backburn's is on the server under the prefix.
var ErrNoQueue = errors.New("no Backburn queue")

// Attach returns a handle on a queue that exists, for those who look or hand in and must not
// change how the queue is made: unlike Open it creates and updates nothing. It returns
// ErrNoQueue where a stream or bucket is missing.
func Attach(ctx context.Context, nc *nats.Conn, prefix string) (*Queue, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	q := &Queue{Names: NamesFor(prefix), nc: nc, js: js}
	for _, s := range []struct {
		name string
		dst  *jetstream.Stream
	}{
		{q.JobsStream(), &q.jobs}, {q.WaitingStream(), &q.waiting}, {q.ResultsStream(), &q.results}, {q.DeadStream(), &q.dead},
	} {
		if *s.dst, err = js.Stream(ctx, s.name); err != nil {
			return nil, q.lacks("stream "+s.name, err)
		}
	}
	for _, b := range []struct {
		name string
		dst  *jetstream.KeyValue
	}{
		{q.SamplesBucket(), &q.samples}, {q.RecordsBucket(), &q.records}, {q.ControlBucket(), &q.control},
	} {
		if *b.dst, err = js.KeyValue(ctx, b.name); err != nil {
			return nil, q.lacks("bucket "+b.name, err)
		}
	}
	if q.files, err = js.ObjectStore(ctx, q.FilesBucket()); err != nil {
		return nil, q.lacks("object bucket "+q.FilesBucket(), err)
	}
	jobs, events := q.jobs.CachedInfo().Config, q.results.CachedInfo().Config
	q.topology = Topology{Prefix: prefix, Replicas: jobs.Replicas, ResultsMaxAge: events.MaxAge, ResultsMaxBytes: events.MaxBytes}
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
