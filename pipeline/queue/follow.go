package queue

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// FollowJobs calls handle for every job of the ledger, in the order in which the records were
// written, and then for each new one, until stop is called. It calls caughtUp whenever handle has
// seen all existing records. Both are called by one goroutine at a time; neither runs after stop
// returns. If caughtUp is nil, handle is called only for new records.
func (l *Ledger) FollowJobs(ctx context.Context, handle func(JobHeader), caughtUp func()) (stop func(), err error) {
	records := jetstream.DeliverAllPolicy
	if caughtUp == nil {
		records = jetstream.DeliverNewPolicy
		caughtUp = func() {}
	}

	s := l.streams.ledger
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{l.streams.AnyJobRecord()},
		DeliverPolicy:  records,
		HeadersOnly:    true,
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}

	if c.CachedInfo().NumPending == 0 {
		caughtUp()
	}

	var mu sync.Mutex // the client's own Stop does not wait for a running callback
	ended := false
	consume, err := c.Consume(func(m jetstream.Msg) {
		mu.Lock()
		defer mu.Unlock()

		raw, meta, err := rawMessage(m)
		if err != nil || ended {
			return
		}
		handle(l.streams.jobHeader(raw))
		if meta.NumPending == 0 {
			caughtUp()
		}
	}, pullExpiry, pullHeartbeat, jetstream.PullMaxMessages(recordBatch))
	if err != nil {
		removeConsumer(ctx, s, c)
		return nil, fmt.Errorf("read the ledger: %w", err)
	}

	return func() {
		consume.Stop()
		mu.Lock()
		ended = true
		mu.Unlock()
		removeConsumer(ctx, s, c)
	}, nil
}

// readJobs iterates over the jobs that are in the ledger now. It stops after an error.
func (l *Ledger) readJobs(ctx context.Context) iter.Seq2[JobHeader, error] {
	return decodeAll(readAll(ctx, l.streams.ledger, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{l.streams.AnyJobRecord()},
		HeadersOnly:    true,
	}, recordBatch), l.streams.jobHeader)
}

// WaitingAt reads a waiting job by the name of its record, without a request if that revision of
// the record is in the cache of what this process wrote. The message is nil if the job no longer
// waits. The caller must not change it.
func (l *Ledger) WaitingAt(ctx context.Context, name string, revision uint64) (*Message, uint64, error) {
	if r := l.written.get(l.streams.recordSubject(name)); r != nil && r.revision == revision {
		return r.waiting, revision, nil
	}

	entry, err := l.ReadJob(ctx, name)

	return entry.Message, entry.Revision, err
}

// EncodedSample is a sample's record as it is stored. SampleEntry is the decoded record.
type EncodedSample struct {
	Key  string
	Body []byte
	Time time.Time // when it was written, by the server's clock
}

// ReadSamples calls handle for every sample whose newest record was written after a sequence or, if
// that is 0, since the given time. It returns the sequence up to which it has read. handle is
// called by one goroutine at a time.
func (l *Ledger) ReadSamples(ctx context.Context, after uint64, since time.Time, handle func(EncodedSample)) (uint64, error) {
	state, err := l.State(ctx)
	last := state.LastSeq
	if err != nil || last == after {
		return after, err
	}

	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{l.streams.SampleSubject("*")},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy,
		OptStartTime:   &since,
	}
	if after > 0 {
		cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		cfg.OptStartTime = nil
		cfg.OptStartSeq = after + 1
	}
	for m, err := range readAll(ctx, l.streams.ledger, cfg, recordBatch) {
		if err != nil {
			return after, err
		}
		handle(EncodedSample{Key: lastToken(m.Subject), Body: m.Data, Time: m.Time})
		last = max(last, m.Sequence)
	}

	return last, nil
}

// LedgerState has the ledger's creation time, which identifies its stream, and its last sequence.
type LedgerState struct {
	Created time.Time
	LastSeq uint64 // of the newest record
}

// State reads the state of the ledger.
func (l *Ledger) State(ctx context.Context) (LedgerState, error) {
	info, err := l.streams.ledger.Info(ctx)
	if err != nil {
		return LedgerState{}, fmt.Errorf("stream %s: %w", l.streams.LedgerStream(), err)
	}

	return LedgerState{Created: info.Created, LastSeq: info.State.LastSeq}, nil
}

// Detect a lost connection soon: the client's own defaults are 30 and 15 seconds.
const (
	pullExpiry    = jetstream.PullExpiry(5 * time.Second)
	pullHeartbeat = jetstream.PullHeartbeat(time.Second)
)
