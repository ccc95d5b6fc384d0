package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/results"
)

// Version 1 used a stream and two buckets in place of the ledger:
//
//	<PREFIX>_WAITING  <prefix>.waiting.<sample key>.<job key>: jobs that wait, with their headers
//	<prefix>_samples  per sample: what is known
//	<prefix>_jobs     per job: its one final event
//
// The next start migrates their data to the ledger, and then removes them. Each step may be
// repeated: a record that is already in the ledger stays. The jobs in JOBS stay where they are:
// [Jobs.open] recognizes jobs of version 1 by their sequence.

const (
	// headerOldBasis is a header of version 1, on a waiting job.
	headerOldBasis = "Backburn-Basis"

	// oldLeaderKey is the key of the leader of a version 1 fleet, in the control bucket.
	oldLeaderKey = "batcher"

	migrateBatch = 512 // records in progress
)

// errOldWorkers says that workers of version 1 still run: they would continue to write to the old
// streams.
var errOldWorkers = errors.New("workers of version 1 are still running: stop them first")

// migrate moves the data of version 1, if there is any, into the ledger.
func migrate(ctx context.Context, q *Queue) error {
	var old []jetstream.Stream
	for _, name := range q.OldStreams() {
		s, err := q.streams.findStream(ctx, name)
		if err != nil {
			return err
		}
		old = append(old, s)
	}
	waiting := old[0]
	samples := old[1]
	records := old[2]
	if waiting == nil && samples == nil && records == nil {
		return nil
	}

	if err := awaitOldWorkers(ctx, q.streams.control); err != nil {
		return err
	}

	m := migration{ledger: q.ledger, events: q.events, refs: map[string][]pipeline.Ref{}}
	for _, step := range []struct {
		from jetstream.Stream
		each func(context.Context, *jetstream.RawStreamMsg) error
	}{
		{records, m.record}, // before the waiting jobs: a job with a final event does not wait
		{waiting, m.waiting},
		{samples, m.sample}, // after the waiting jobs, which have the sources of samples' jobs
	} {
		if step.from == nil {
			continue
		}
		if err := m.forEach(ctx, step.from, step.each); err != nil {
			return fmt.Errorf("migrate %s of version 1: %w", step.from.CachedInfo().Config.Name, err)
		}
	}

	for _, s := range old {
		if s == nil {
			continue
		}
		name := s.CachedInfo().Config.Name
		err := untilAnswered(ctx, "remove stream "+name, func(ctx context.Context) error {
			err := q.streams.js.DeleteStream(ctx, name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil // another process was faster
			}
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// awaitOldWorkers waits until no worker of version 1 leads the fleet. A worker that died counts as
// the leader until its lease ends.
func awaitOldWorkers(ctx context.Context, control *fleet.Store) error {
	for {
		leads, err := oldLeader(ctx, control)
		switch {
		case err != nil:
			return err
		case !leads:
			return nil
		}
		if pipeline.Sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, errOldWorkers)
		}
	}
}

func oldLeader(ctx context.Context, control *fleet.Store) (bool, error) {
	type leader struct {
		Owner string `json:"owner"`
	}
	s, _, err := fleet.Get[leader](ctx, control, oldLeaderKey)
	if err != nil || s.Owner == "" {
		return false, err
	}
	members, err := fleet.Members(ctx, control)
	for _, m := range members {
		if m.ID == s.Owner {
			return true, err
		}
	}

	return false, err
}

// migration is one pass over the data of version 1.
type migration struct {
	ledger *Ledger
	events *Events

	mu   sync.Mutex
	refs map[string][]pipeline.Ref // waiting jobs by sample; guarded by mu
}

// forEach calls migrateOne for the newest message of every subject of a stream, with many calls at
// the same time.
func (m *migration) forEach(ctx context.Context, s jetstream.Stream, migrateOne func(context.Context, *jetstream.RawStreamMsg) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(migrateBatch)

	var readErr error
	for old, err := range readAll(gctx, s, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}, readBatch) {
		if readErr = err; err != nil || gctx.Err() != nil {
			break
		}
		if old.Header.Get(jetstream.MarkerReasonHeader) != "" || old.Header.Get("KV-Operation") != "" {
			continue // a deletion
		}
		g.Go(func() error { return migrateOne(gctx, old) })
	}

	return cmp.Or(g.Wait(), readErr)
}

// put writes a record unless the ledger already has it. written says whether put has written the
// record.
func (m *migration) put(ctx context.Context, c *Change) (written bool, err error) {
	err = m.ledger.Commit(ctx, c)
	if errors.Is(err, pipeline.ErrConflict) {
		return false, nil
	}

	return err == nil, err
}

func (m *migration) record(ctx context.Context, old *jetstream.RawStreamMsg) error {
	var r struct {
		Event json.RawMessage `json:"event"`
	}
	var ev results.Event
	if json.Unmarshal(old.Data, &r) != nil || ev.UnmarshalJSON(r.Event) != nil || !pipeline.ValidSource(ev.Data.Source) {
		return nil //nolint:nilerr // version 1 ignored an unreadable record
	}

	j := jobOf(ev.Data)
	_, err := m.put(ctx, m.ledger.jobUpdate(j.Ref(), JobDone, pipeline.SampleKey(j), r.Event, 0))

	return err
}

// waiting migrates a waiting job. If the job already has a final event, waiting publishes it again:
// the process that recorded the event may have died before publishing it.
func (m *migration) waiting(ctx context.Context, old *jetstream.RawStreamMsg) error {
	t := strings.Split(old.Subject, ".")
	sample := t[len(t)-2]
	msg, err := openOld(m.ledger.streams.Names, old.Header.Get(headerOldSubject), old)
	if err != nil {
		return nil //nolint:nilerr // in version 1 only valid jobs waited
	}
	if msg.Job.Kind == pipeline.KindFile && msg.Job.SHA256 == "" {
		msg.Job.SetVerified(sample, msg.Job.Size) // its worker hashed it
	}
	m.mu.Lock()
	m.refs[sample] = append(m.refs[sample], msg.Job.Ref())
	m.mu.Unlock()

	written, err := m.put(ctx, m.ledger.WaitingUpdate(&msg, Waiting{
		Sample: sample,
		Basis:  results.Basis(old.Header.Get(headerOldBasis)),
	}, 0))
	if err != nil || written {
		return err
	}
	entry, err := m.ledger.Job(ctx, msg.Job.Ref())
	if err != nil || entry.State != JobDone {
		return err
	}

	return m.events.Republish(ctx, &msg, entry.Event)
}

// sample migrates a sample. Version 1 named jobs by their IDs alone, so the source is known only
// for waiting jobs. If the job of a retrying sample is not known, any job in JOBS may make the next
// attempt.
func (m *migration) sample(ctx context.Context, old *jetstream.RawStreamMsg) error {
	s := SampleEntry{Key: lastToken(old.Subject)}
	if json.Unmarshal(old.Data, &s.Sample) != nil {
		return nil //nolint:nilerr // as in record
	}

	id := s.Job
	s.Job = ""
	for _, ref := range m.refs[s.Key] {
		if ref.ID == id {
			s.Job = ref.String()
		}
	}
	if s.State == pipeline.StateRetrying && s.Job == "" {
		s.State = pipeline.StateNone
	}
	_, err := m.put(ctx, m.ledger.SampleUpdate(s))

	return err
}
