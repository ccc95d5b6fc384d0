package queue

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline/fleet"
	"backburn/results"
)

// Queue is the pipeline's handle on JetStream: the opened streams and buckets. It is safe for
// concurrent use.
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

	jobCommits     *committer
	ledgerCommits  *committer
	eventCommits   *committer
	deadCommits    *committer
	ackLatency     *ackLatency // of the server, to all of these
	reads          *reader     // of the ledger
	pendingSamples writeCache[SampleEntry]
	waitingJobs    writeCache[*Message]

	// NoLedger says that this process may not read the ledger, so only the leader is asked about
	// waiting jobs. Set it before the queue is used.
	NoLedger bool

	deadLettered func(results.Reason) // may be nil

	feedsMu   sync.Mutex
	feeds     map[string]Feed // of lanes with a feed of their own; guarded by feedsMu
	lostFeeds sync.Map        // names

	ledgerCreated atomic.Int64  // when the ledger was created, in ns since 1970
	oldJobsUntil  atomic.Uint64 // version 1 wrote JOBS up to this sequence

	deadBytes atomic.Int64 // written to DEAD since it was last trimmed
	trimming  sync.Mutex
}

func newQueue(nc *nats.Conn, js jetstream.JetStream, t Topology) *Queue {
	n := NamesFor(t.Prefix)
	a := newAckLatency(t.Durability)

	return &Queue{
		Names:         n,
		nc:            nc,
		js:            js,
		topology:      t,
		ackLatency:    a,
		jobCommits:    newCommitter(nc, a),
		ledgerCommits: newCommitter(nc, a),
		eventCommits:  newCommitter(nc, a),
		deadCommits:   newCommitter(nc, a),
		reads:         newReader(nc, jets.APIPrefix(js.Options()), n.LedgerStream()),
		feeds:         map[string]Feed{},
	}
}

// ResultsMaxAge returns how long events are kept.
func (q *Queue) ResultsMaxAge() time.Duration { return q.topology.ResultsMaxAge }

// Control returns the bucket with the shared state of the fleet.
func (q *Queue) Control() *fleet.Store { return fleet.NewStore(q.js, q.control) }

// Conn returns the connection, for messages outside the streams.
func (q *Queue) Conn() *nats.Conn { return q.nc }

// JetStream returns the connection's JetStream context, for streams outside the queue.
func (q *Queue) JetStream() jetstream.JetStream { return q.js }

// ErrUnavailable is matched by the error of Open if JetStream is missing or does not become ready
// in time.
var ErrUnavailable = errors.New("JetStream is not available")
