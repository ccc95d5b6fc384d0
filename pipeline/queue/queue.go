package queue

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline/fleet"
)

// Queue gives access to everything that the pipeline keeps on JetStream, through its parts. It is
// safe for concurrent use.
type Queue struct {
	Names
	streams *Streams
	jobs    *Jobs
	lanes   *Lanes
	ledger  *Ledger
	objects *Objects
	dead    *DeadLetters
	events  *Events
}

func newQueue(s *Streams) *Queue {
	q := &Queue{
		Names:   s.Names,
		streams: s,
		jobs:    &Jobs{streams: s, commits: s.newCommitter()},
		lanes:   &Lanes{streams: s},
		objects: &Objects{nc: s.js.Conn(), store: s.files},
	}
	reads := newReader(s.js.Conn(), jets.APIPrefix(s.js.Options()), s.LedgerStream())
	q.ledger = &Ledger{streams: s, commits: s.newCommitter(), reads: reads}
	q.dead = &DeadLetters{
		streams: s,
		commits: s.newCommitter(),
		jobs:    q.jobs,
		ledger:  q.ledger,
		objects: q.objects,
	}
	q.events = &Events{
		streams: s,
		commits: s.newCommitter(),
		ledger:  q.ledger,
		dead:    q.dead,
		objects: q.objects,
	}

	return q
}

// Streams returns the streams and buckets.
func (q *Queue) Streams() *Streams { return q.streams }

// Control returns the bucket with the shared state of the fleet.
func (q *Queue) Control() *fleet.Store { return q.streams.control }

// Jobs returns the part that reads and writes the messages of JOBS.
func (q *Queue) Jobs() *Jobs { return q.jobs }

// Lanes returns the part that finds the sources with jobs in JOBS, and creates their consumers.
func (q *Queue) Lanes() *Lanes { return q.lanes }

// Ledger returns the queue's ledger.
func (q *Queue) Ledger() *Ledger { return q.ledger }

// Objects returns the object bucket for contents.
func (q *Queue) Objects() *Objects { return q.objects }

// Dead returns the queue's dead letters.
func (q *Queue) Dead() *DeadLetters { return q.dead }

// Events returns the part that ends jobs and publishes events on RESULTS.
func (q *Queue) Events() *Events { return q.events }

// Conn returns the connection, for messages outside the streams.
func (q *Queue) Conn() *nats.Conn { return q.streams.js.Conn() }

// JetStream returns the connection's JetStream context, for streams outside the queue.
func (q *Queue) JetStream() jetstream.JetStream { return q.streams.js }
