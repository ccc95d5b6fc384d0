package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

// Topology is what the streams and buckets are made with.
type Topology struct {
	Prefix          string        // first subject token
	Domain          string        // the JetStream domain, where the connection is one to a leaf node
	Replicas        int           // 1, or 3 on a cluster
	Lease           time.Duration // AckWait of the lanes
	ResultsMaxAge   time.Duration // how long events, and the memory of jobs and samples, are kept
	ResultsMaxBytes int64         // of the RESULTS stream
	JobsMaxBytes    int64         // of the JOBS stream, beyond which it pushes back; defaults to 2 GiB
	LedgerMaxBytes  int64         // of the LEDGER stream, likewise; defaults to 2 GiB
	DeadMaxAge      time.Duration // how long dead letters are kept; defaults to 90 days
	DeadMaxBytes    int64         // of the DEAD stream: beyond it the oldest go; defaults to 512 MiB
	FilesMaxBytes   int64         // of contents that travel; defaults to 4 GiB
}

// The defaults of Topology's bounds.
const (
	DefaultJobsMaxBytes   int64 = 2 << 30
	DefaultLedgerMaxBytes int64 = 2 << 30
	DefaultDeadMaxBytes   int64 = 512 << 20
	DefaultFilesMaxBytes  int64 = 4 << 30
	DefaultDeadMaxAge           = 90 * 24 * time.Hour
)

const (
	jobsMaxMsgs = 1_000_000

	// The server remembers the ids of events for so long. It is the first filter alone: what was
	// published is known from the ledger.
	dedupeWindow = 10 * time.Minute

	// Contents that nobody came for are dropped after so long, whatever happened.
	filesMaxAge = 14 * 24 * time.Hour

	// A cluster leaves some requests without an answer: those that reach no leader, and those for
	// what another process creates at the same moment. They are made again after so long at
	// first, and after longer each time, apart from those of others.
	provisionAttempt        = 2 * time.Second
	longestProvisionAttempt = 10 * time.Second

	// formatKey is the stream metadata that says which version of the format the ledger has.
	formatKey = "backburn.format"
	format    = 2
)

// Streams returns the streams of a topology. It is the one place that says which there are, on
// which subjects, and within which bounds.
func (t Topology) Streams() []jetstream.StreamConfig {
	n := NamesFor(t.Prefix)

	streams := []jetstream.StreamConfig{
		{
			Name:        n.DeadStream(),
			Description: "jobs that failed, whole, with the reason",
			Subjects:    []string{n.DeadSubject("*", "*")},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      cmp.Or(t.DeadMaxAge, DefaultDeadMaxAge),
			MaxBytes:    cmp.Or(t.DeadMaxBytes, DefaultDeadMaxBytes),

			AllowAtomicPublish: true,
		},
		{
			Name:        n.JobsStream(),
			Description: "what was handed in",
			Subjects:    n.jobSubjects(), // what is published elsewhere is not acknowledged
			Retention:   jetstream.WorkQueuePolicy,
			Discard:     jetstream.DiscardNew,
			MaxMsgs:     jobsMaxMsgs,
			MaxBytes:    cmp.Or(t.JobsMaxBytes, DefaultJobsMaxBytes),

			AllowAtomicPublish: true,

			// A server drops messages whose id it saw lately, whichever subject they came on, so
			// one source could suppress the jobs of another. That cannot be switched off but for
			// streams with a source; this one's never has a message. The ledger knows repeats.
			Sources: []*jetstream.StreamSource{{
				Name:          n.DeadStream(),
				FilterSubject: n.DeadSubject("none", "none"),
			}},
		},
		{
			Name:              n.LedgerStream(),
			Description:       "what is known of samples and jobs",
			Subjects:          []string{n.SampleSubject("*"), n.AnyLedgerJob()},
			Retention:         jetstream.LimitsPolicy,
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: 1, // a record replaces the one before
			MaxBytes:          cmp.Or(t.LedgerMaxBytes, DefaultLedgerMaxBytes),
			Metadata:          map[string]string{formatKey: strconv.Itoa(format)},

			// The others hold messages of outsiders, whose headers could pass for those that a server
			// adds to what is read directly.
			AllowDirect: true,

			AllowAtomicPublish: true,
			AllowMsgTTL:        true, // what is over expires; what waits does not
		},
		{
			Name:        n.ResultsStream(),
			Description: "events for other services",
			Subjects:    []string{n.prefix + ".results.*.*.*"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      t.ResultsMaxAge,
			MaxBytes:    t.ResultsMaxBytes,
			Duplicates:  dedupeWindow,

			AllowAtomicPublish: true,
		},
	}

	for i := range streams {
		streams[i].Storage = jetstream.FileStorage
		streams[i].Replicas = t.Replicas
	}

	return streams
}

// jobSubjects are those of all lanes.
func (n Names) jobSubjects() []string {
	var subjects []string
	for _, p := range pipeline.Priorities() {
		subjects = append(subjects, n.JobSubject(p, "*"), n.RequeueSubject(p, "*"))
	}

	return subjects
}

// Queue is the pipeline's handle on JetStream: the streams and buckets of the system, opened
// and made fit. It is safe for concurrent use.
type Queue struct {
	Names
	nc       *nats.Conn
	js       jetstream.JetStream
	topology Topology

	jobs    jetstream.Stream
	ledger  jetstream.Stream
	results jetstream.Stream
	dead    jetstream.Stream
	control jetstream.KeyValue
	files   jetstream.ObjectStore

	jobCommits    *committer
	ledgerCommits *committer
	eventCommits  *committer
	deadCommits   *committer
	reads         *reader // of the ledger

	feedsMu   sync.Mutex
	feeds     map[string]Feed // of lanes that have one of their own; guarded by feedsMu
	lostFeeds sync.Map        // names

	ledgerMade   atomic.Int64  // when the ledger was made, in ns since 1970
	oldJobsUntil atomic.Uint64 // up to this sequence JOBS was written by version 1
}

func newQueue(nc *nats.Conn, js jetstream.JetStream, t Topology) *Queue {
	n := NamesFor(t.Prefix)

	return &Queue{
		Names:         n,
		nc:            nc,
		js:            js,
		topology:      t,
		jobCommits:    newCommitter(nc),
		ledgerCommits: newCommitter(nc),
		eventCommits:  newCommitter(nc),
		deadCommits:   newCommitter(nc),
		reads:         newReader(nc, jets.APIPrefix(js.Options()), n.LedgerStream()),
		feeds:         map[string]Feed{},
	}
}

// ErrUnavailable is matched by the error of Open where JetStream is not there, or does not
// become ready in time.
var ErrUnavailable = errors.New("JetStream is not available")

// ErrFormat says that the ledger was written by a later version, which this one cannot read.
var ErrFormat = errors.New("the ledger was written by a later version of Backburn")

// Open creates the streams and buckets, or updates them to the topology, and returns a
// handle on them. It retries until ctx ends while the server is not ready for JetStream,
// and then returns ErrUnavailable.
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

	q := newQueue(nc, js, t)
	if err := q.Provision(ctx); err != nil {
		return nil, err
	}
	if err := q.migrate(ctx); err != nil {
		return nil, err
	}

	return q, nil
}

// minServer is the oldest NATS server that does: atomic batches came with it.
const minServerMajor, minServerMinor = 2, 12

// checkServer refuses a server that is too old, before anything is made on it.
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

// insist makes a request until it is answered or ctx ends.
func insist(ctx context.Context, what string, request func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, min(provisionAttempt<<min(attempt, 4), longestProvisionAttempt))
		err := request(actx)
		cancel()
		if err == nil {
			return nil
		}

		err = jets.Explain(what, err)
		if jets.Is(err, jets.Limit) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !jets.Is(err, jets.Unavailable) {
			return err
		}
		if fleet.Sleep(ctx, pipeline.Backoff(attempt, 200*time.Millisecond, 2*time.Second)) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// Provision makes the streams and buckets that are missing, and puts right those whose limits are
// not the topology's. It may be repeated at any time.
func (q *Queue) Provision(ctx context.Context) error {
	exists, err := q.checkFormat(ctx)
	if err != nil {
		return err
	}

	handles := map[string]*jetstream.Stream{
		q.JobsStream(): &q.jobs, q.LedgerStream(): &q.ledger, q.ResultsStream(): &q.results, q.DeadStream(): &q.dead,
	}
	var oldJobs uint64
	if !exists {
		if oldJobs, err = q.oldJobs(ctx); err != nil {
			return err
		}
	}
	for _, c := range q.topology.Streams() {
		if c.Name == q.LedgerStream() && oldJobs > 0 {
			c.Metadata[oldJobsKey] = strconv.FormatUint(oldJobs, 10)
		}
		err := insist(ctx, "stream "+c.Name, func(ctx context.Context) error {
			s, err := q.provisionStream(ctx, c)
			if err == nil && *handles[c.Name] == nil {
				*handles[c.Name] = s
			}
			if err == nil && c.Name == q.LedgerStream() {
				q.noteLedger(s.CachedInfo())
			}
			return err
		})
		if err != nil {
			return err
		}
	}

	err = insist(ctx, "bucket "+q.ControlBucket(), func(ctx context.Context) error {
		kv, err := q.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:         q.ControlBucket(),
			Description:    "budgets, pauses, live workers",
			Storage:        jetstream.FileStorage,
			Replicas:       q.topology.Replicas,
			LimitMarkerTTL: time.Minute,
			MaxBytes:       controlMaxBytes,
		})
		if err == nil && q.control == nil {
			q.control = kv
		}
		return err
	})
	if err != nil {
		return err
	}

	return insist(ctx, "object bucket "+q.FilesBucket(), func(ctx context.Context) error {
		files, err := q.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:      q.FilesBucket(),
			Description: "contents that travel",
			TTL:         filesMaxAge,
			MaxBytes:    cmp.Or(q.topology.FilesMaxBytes, DefaultFilesMaxBytes),
			Storage:     jetstream.FileStorage,
			Replicas:    q.topology.Replicas,
		})
		if err == nil && q.files == nil {
			q.files = files
		}
		return err
	})
}

// provisionStream makes a stream that is missing, and changes one that does not fit. One that fits is
// left alone: of many workers that start together none makes the server's work for the others.
func (q *Queue) provisionStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := q.js.Stream(ctx, c.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		s, err = q.js.CreateStream(ctx, c)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return q.js.UpdateStream(ctx, c)
		}
		return s, err
	case err != nil || fits(s.CachedInfo().Config, c):
		return s, err
	}
	if old := s.CachedInfo().Config.Metadata[oldJobsKey]; old != "" {
		c.Metadata[oldJobsKey] = old
	}

	return q.js.UpdateStream(ctx, c)
}

// controlMaxBytes bounds the bucket in which the fleet agrees.
const controlMaxBytes = 16 << 20

// checkFormat refuses a ledger of a later version. exists says that there is a ledger.
func (q *Queue) checkFormat(ctx context.Context) (exists bool, err error) {
	var found string
	err = insist(ctx, "stream "+q.LedgerStream(), func(ctx context.Context) error {
		s, err := q.js.Stream(ctx, q.LedgerStream())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err == nil {
			exists = true
			found = s.CachedInfo().Config.Metadata[formatKey]
		}
		return err
	})
	if err != nil {
		return exists, err
	}

	if n, _ := strconv.Atoi(found); n > format {
		return exists, fmt.Errorf("%w: format %d, this version knows %d: update this process", ErrFormat, n, format)
	}

	return exists, nil
}

// Control is where the fleet agrees.
func (q *Queue) Control() *fleet.Store { return fleet.NewStore(q.js, q.control) }

// Conn is the connection, for those who publish beside the streams.
func (q *Queue) Conn() *nats.Conn { return q.nc }

// JetStream is the connection's JetStream context, for those who build beside the queue.
func (q *Queue) JetStream() jetstream.JetStream { return q.js }
