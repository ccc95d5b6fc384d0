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
	results jetstream.Stream
	control jetstream.KeyValue
	files   jetstream.ObjectStore
	ledger  Ledger
	dead    DeadLetters
	lanes   Lanes

	jobCommits   *committer
	eventCommits *committer
	ackLatency   *ackLatency // of the server, to all committers

	// NoLedger says that this process may not read the ledger, so only the leader is asked about
	// waiting jobs. Set it before the queue is used.
	NoLedger bool

	ledgerCreated atomic.Int64  // when the ledger was created, in ns since 1970
	oldJobsUntil  atomic.Uint64 // version 1 wrote JOBS up to this sequence
}

// Ledger reads and writes what is known of samples and jobs. It is safe for concurrent use.
type Ledger struct {
	q              *Queue
	stream         jetstream.Stream
	commits        *committer
	reads          *reader
	pendingSamples writeCache[SampleEntry]
	waitingJobs    writeCache[*Message]
}

// DeadLetters reads, writes and removes dead letters, and submits their jobs again. It is safe for
// concurrent use.
type DeadLetters struct {
	q        *Queue
	stream   jetstream.Stream
	commits  *committer
	onPut    func(results.Reason) // nil for none
	bytes    atomic.Int64         // written since the letters were last trimmed
	trimming sync.Mutex
}

// Lanes finds the lanes that have jobs, and makes the consumers that feed workers. It is safe for
// concurrent use.
type Lanes struct {
	q *Queue

	mu    sync.Mutex
	feeds map[string]Feed // of lanes with a feed of their own; guarded by mu
	lost  sync.Map        // names
}

func newQueue(nc *nats.Conn, js jetstream.JetStream, t Topology) *Queue {
	n := NamesFor(t.Prefix)
	a := newAckLatency(t.Durability)

	q := &Queue{
		Names:        n,
		nc:           nc,
		js:           js,
		topology:     t,
		ackLatency:   a,
		jobCommits:   newCommitter(nc, a),
		eventCommits: newCommitter(nc, a),
	}
	q.ledger.q = q
	q.ledger.commits = newCommitter(nc, a)
	q.ledger.reads = newReader(nc, jets.APIPrefix(js.Options()), n.LedgerStream())
	q.dead.q = q
	q.dead.commits = newCommitter(nc, a)
	q.lanes.q = q
	q.lanes.feeds = map[string]Feed{}

	return q
}

// Ledger returns the queue's ledger.
func (q *Queue) Ledger() *Ledger { return &q.ledger }

// Dead returns the queue's dead letters.
func (q *Queue) Dead() *DeadLetters { return &q.dead }

// Lanes returns the queue's lanes.
func (q *Queue) Lanes() *Lanes { return &q.lanes }

// ResultsMaxAge returns how long events are kept.
func (q *Queue) ResultsMaxAge() time.Duration { return q.topology.Results.MaxAge }

// Control returns the bucket with the shared state of the fleet.
func (q *Queue) Control() *fleet.Store { return fleet.NewStore(q.js, q.control) }

// Conn returns the connection, for messages outside the streams.
func (q *Queue) Conn() *nats.Conn { return q.nc }

// JetStream returns the connection's JetStream context, for streams outside the queue.
func (q *Queue) JetStream() jetstream.JetStream { return q.js }

// ErrUnavailable is matched by the error of Open if JetStream is missing or does not become ready
// in time.
var ErrUnavailable = errors.New("JetStream is not available")
