package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Topology is what the streams and buckets are made with.
type Topology struct {
	Prefix          string        // first subject token
	Replicas        int           // 1, or 3 on a cluster
	Lease           time.Duration // AckWait of the lanes
	ResultsMaxAge   time.Duration // how long events, and the memory of jobs and samples, are kept
	ResultsMaxBytes int64         // of the RESULTS stream
	JobsMaxBytes    int64         // of the JOBS stream, beyond which it pushes back; defaults to 2 GiB
}

// DefaultJobsMaxBytes is the default of Topology.JobsMaxBytes.
const DefaultJobsMaxBytes int64 = 2 << 30

const (
	jobsMaxMsgs = 1_000_000

	// The server remembers message ids for so long. It is the first filter alone: what
	// was done is known from the records.
	dedupeWindow = 10 * time.Minute

	// Contents that nobody came for are dropped after so long, whatever happened.
	filesMaxAge = 14 * 24 * time.Hour

	// A cluster leaves some requests without an answer: those that reach no leader, and those for
	// what another process creates at the same moment. They are made again after so long at
	// first, and after longer each time, apart from those of others.
	provisionAttempt        = 2 * time.Second
	longestProvisionAttempt = 10 * time.Second
)

// Queue is the pipeline's handle on JetStream: the streams and buckets of the system, opened
// and made fit. It is safe for concurrent use.
type Queue struct {
	Names
	nc       *nats.Conn
	js       jetstream.JetStream
	topology Topology

	jobs    jetstream.Stream
	waiting jetstream.Stream
	results jetstream.Stream
	dead    jetstream.Stream
	samples jetstream.KeyValue
	records jetstream.KeyValue
	control jetstream.KeyValue
	files   jetstream.ObjectStore

	dropFailures atomic.Int64 // objects that could not be removed, and wait for the bucket's age
}

// ErrUnavailable is matched by the error of Open where JetStream is not there, or does not
// become ready in time.
var ErrUnavailable = errors.New("JetStream is not available")

// Open creates the streams and buckets, or updates them to the topology, and returns a
// handle on them. It retries until ctx ends while the server is not ready for JetStream,
// and then returns ErrUnavailable.
func Open(ctx context.Context, nc *nats.Conn, t Topology) (*Queue, error) {
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(4096),
		jetstream.WithPublishAsyncTimeout(publishAttempt))
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	q := &Queue{Names: NamesFor(t.Prefix), nc: nc, js: js, topology: t}
	if err := q.provision(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

// insist makes a request until it is answered or ctx ends.
func insist(ctx context.Context, what string, request func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, min(provisionAttempt<<min(attempt, 4), longestProvisionAttempt))
		err := request(actx)
		cancel()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", what, err)
		if isNoStorage(err) {
			return fmt.Errorf("%w: %w; lower results.max_bytes, or let the NATS server store more", ErrUnavailable, err)
		}
		if !isUnavailable(err) {
			return err
		}
		if sleep(ctx, backOff(attempt, 200*time.Millisecond, 2*time.Second)) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// isUnavailable reports the server's own "try again": 503 with a cluster that has no
// leader or not enough peers yet, or a request that timed out, or that a server which is
// still restoring does not take.
func isUnavailable(err error) bool {
	if errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503 && api.ErrorCode != jetstream.JSErrCodeMessageNotFound
}

// errCodeNoStorage is the server's code for streams that together ask for more than it may store.
const errCodeNoStorage jetstream.ErrorCode = 10047

func isNoStorage(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errCodeNoStorage
}

func (q *Queue) provision(ctx context.Context) error {
	t := q.topology
	var err error
	stream := func(dst *jetstream.Stream, c jetstream.StreamConfig) {
		if err != nil {
			return
		}
		c.Storage, c.Replicas, c.Duplicates, c.AllowDirect = jetstream.FileStorage, t.Replicas, dedupeWindow, true
		err = insist(ctx, "stream "+c.Name, func(ctx context.Context) (err error) {
			*dst, err = q.js.CreateOrUpdateStream(ctx, c)
			return err
		})
	}
	bucket := func(dst *jetstream.KeyValue, c jetstream.KeyValueConfig) {
		if err != nil {
			return
		}
		c.Storage, c.Replicas = jetstream.FileStorage, t.Replicas
		err = insist(ctx, "bucket "+c.Bucket, func(ctx context.Context) (err error) {
			*dst, err = q.js.CreateOrUpdateKeyValue(ctx, c)
			return err
		})
	}

	stream(&q.jobs, jetstream.StreamConfig{
		Name: q.JobsStream(), Description: "what was handed in",
		Subjects:  q.laneSubjects(), // what is published elsewhere is not acknowledged
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: jobsMaxMsgs, MaxBytes: cmp.Or(t.JobsMaxBytes, DefaultJobsMaxBytes),
	})
	// Read by the batcher with a consumer of its own whenever it changes hands, which a
	// work queue does not allow: jobs leave it by deletion, when they have their event.
	stream(&q.waiting, jetstream.StreamConfig{
		Name: q.WaitingStream(), Description: "jobs whose sample has no final verdict yet",
		Subjects:  []string{q.prefix + ".waiting.*.*"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, // a job that comes to wait again replaces its own message
	})
	stream(&q.results, jetstream.StreamConfig{
		Name: q.ResultsStream(), Description: "events for other services",
		Subjects:  []string{q.prefix + ".results.*.*.*"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: t.ResultsMaxAge, MaxBytes: t.ResultsMaxBytes,
	})
	stream(&q.dead, jetstream.StreamConfig{
		Name: q.DeadStream(), Description: "jobs that failed, whole, with the reason",
		Subjects:  []string{q.prefix + ".dead.*.*"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
	})
	bucket(&q.samples, jetstream.KeyValueConfig{
		Bucket: q.SamplesBucket(), Description: "per SHA-256: what is known", TTL: t.ResultsMaxAge,
	})
	bucket(&q.records, jetstream.KeyValueConfig{
		Bucket: q.RecordsBucket(), Description: "per job: the one final event", TTL: t.ResultsMaxAge,
	})
	bucket(&q.control, jetstream.KeyValueConfig{
		Bucket: q.ControlBucket(), Description: "quota ledger, pauses, live workers", LimitMarkerTTL: time.Minute,
	})
	if err != nil {
		return err
	}
	return insist(ctx, "object bucket "+q.FilesBucket(), func(ctx context.Context) (err error) {
		q.files, err = q.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: q.FilesBucket(), Description: "contents that travel",
			TTL: filesMaxAge, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		})
		return err
	})
}

// laneSubjects are those of all lanes.
func (q *Queue) laneSubjects() []string {
	var subjects []string
	for _, p := range Priorities() {
		subjects = append(subjects, q.JobSubject(p, "*"))
	}
	return subjects
}

// JetStream is the connection's JetStream context, for those who build beside the queue.
func (q *Queue) JetStream() jetstream.JetStream { return q.js }

// sleep waits for d or until ctx ends, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
