package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/span"
	"backburn/results"
)

// Ending is the end of a job.
type Ending struct {
	Event  results.Event
	Sample string    // the key of the job's sample, or ""
	Entry  JobEntry  // the job's record, as it was read
	With   []*Change // changes that are written together with it
	By     string    // the term of the leader that ends a waiting job; "" for a worker, whose message would be redelivered
}

// Finish ends a job: it writes the final event to the ledger, a dead letter if the job failed, and
// the event to RESULTS, each acknowledged before the next. It may be repeated. A job that already
// has a final event keeps it: a second delivery, or a worker that missed the end of its lease,
// publishes the recorded event. So a job cannot end in two ways. Finish returns the job's final
// event. Only after that may the caller acknowledge the job's message.
func (q *Queue) Finish(ctx context.Context, m *Message, e Ending) (results.Event, error) {
	e.Event.Simulated = q.Simulated()
	body, err := e.Event.MarshalJSON()
	if err != nil {
		return e.Event, err
	}

	// A waiting job exists only in its ledger record.
	if e.By != "" && e.Event.Type == results.Failed {
		if err := q.dead.putFailed(ctx, m, e.Event); err != nil {
			return e.Event, err
		}
	}

	ev, adopted, err := q.record(ctx, m.Job.Ref(), e, body)
	if err != nil {
		return ev, fmt.Errorf("finish job %s: %w", m.Job.Ref(), err)
	}
	if adopted {
		return ev, q.Republish(ctx, m, ev)
	}

	if e.By == "" && ev.Type == results.Failed {
		if err := q.dead.putFailed(ctx, m, ev); err != nil {
			return ev, err
		}
	}
	if err := q.publishEncoded(ctx, ev, body); err != nil {
		return ev, fmt.Errorf("finish job %s: %w", m.Job.Ref(), err)
	}
	q.dropContents(ctx, m, ev)

	return ev, nil
}

// record writes the final event of a job. If the job already has one, record returns that one, with
// adopted set.
func (q *Queue) record(ctx context.Context, ref pipeline.Ref, e Ending, body []byte) (results.Event, bool, error) {
	entry := e.Entry
	with := e.With
	for {
		if entry.State == JobDone {
			return entry.Event, true, nil
		}

		done := q.ledger.putDone(ref, e.Sample, body, e.By, entry.Revision)
		err := q.ledger.Commit(ctx, append(with, done)...)
		switch {
		case err == nil:
			return e.Event, false, nil
		case !errors.Is(err, pipeline.ErrConflict):
			return e.Event, false, err
		case done.Revision == 0 && len(with) > 0:
			with = nil // the next reader finds out whether they were made
		case done.Revision != 0:
			return e.Event, false, nil
		}

		before := entry.Revision
		if entry, err = q.ledger.Job(ctx, ref); err != nil {
			return e.Event, false, err
		}
		if entry.Revision == before { // the replica lags behind, or it was another change
			if err := fleet.Sleep(ctx, conflictWait); err != nil {
				return e.Event, false, err
			}
		}
	}
}

// Republish publishes the final event of a job again, in case a process died after recording and
// before publishing it. The server's deduplication covers a repeat within its window. For an older
// event, and for one of version 1, which used other IDs, RESULTS is searched. m is nil if the
// caller does not have the job.
func (q *Queue) Republish(ctx context.Context, m *Message, ev results.Event) error {
	if time.Since(ev.Time) > q.topology.dedupe()/2 || ev.Time.UnixNano() < q.ledgerCreated.Load() {
		there, err := q.published(ctx, ev)
		if err != nil {
			return fmt.Errorf("finish job %s/%s: %w", ev.Data.Source, ev.Data.JobID, err)
		}
		if there {
			q.dropContents(ctx, m, ev)
			return nil
		}
	}

	if m != nil && ev.Type == results.Failed {
		if err := q.dead.putFailed(ctx, m, ev); err != nil {
			return err
		}
	}
	if err := q.PublishEvent(ctx, ev); err != nil {
		return fmt.Errorf("finish job %s/%s: %w", ev.Data.Source, ev.Data.JobID, err)
	}
	q.dropContents(ctx, m, ev)

	return nil
}

// dropContents removes the object of a job that has its verdict. If that fails, the bucket's age
// limit removes it.
func (q *Queue) dropContents(ctx context.Context, m *Message, ev results.Event) {
	if m == nil || m.Job.Content == nil || m.Job.Content.Object == "" || ev.Type == results.Failed {
		return
	}
	_ = q.Objects().Delete(ctx, m.Job.Content.Object)
}

// PublishEvent publishes on RESULTS, with ctx's trace, and returns once the event is durable.
// A repeat is harmless.
func (q *Queue) PublishEvent(ctx context.Context, ev results.Event) error {
	ev.Simulated = q.Simulated()
	body, err := ev.MarshalJSON()
	if err != nil {
		return err
	}

	return q.publishEncoded(ctx, ev, body)
}

// publishEncoded publishes an event that is already encoded.
func (q *Queue) publishEncoded(ctx context.Context, ev results.Event, body []byte) error {
	m := nats.NewMsg(ev.Subject(q.prefix))
	m.Header["Content-Type"] = []string{results.ContentType}
	m.Header[nats.MsgIdHdr] = []string{messageID(ev)}
	span.Inject(ctx, m.Header)
	m.Data = body

	return q.publishUntilAnswered(ctx, q.eventCommits, []*nats.Msg{m}, func(int, *message) {})
}

// published looks for an event in RESULTS.
func (q *Queue) published(ctx context.Context, ev results.Event) (bool, error) {
	return q.hasEvent(ctx, ev.Time, []string{ev.Subject(q.prefix)}, messageID(ev), ev.ID()) // the latter of version 1
}

// HasEnded looks for the final event of a job in RESULTS, from the time at which the job was
// received. It finds an event whose record the ledger has lost.
func (q *Queue) HasEnded(ctx context.Context, j pipeline.Job) (bool, error) {
	var subjects, ids []string
	for _, t := range []results.Type{results.Verdict, results.Failed} {
		ev := results.Event{Type: t}
		ev.Data.JobID = j.ID
		ev.Data.Source = j.Source
		subjects = append(subjects, q.ResultsSubject(t.Name(), "*", j.Source))
		ids = append(ids, messageID(ev))
	}

	return q.hasEvent(ctx, j.ReceivedAt, subjects, ids...)
}

// hasEvent looks for an event with one of these IDs in RESULTS, from shortly before a time. It
// reads the headers of all events with these subjects, which is fast enough for a rare check.
func (q *Queue) hasEvent(ctx context.Context, from time.Time, subjects []string, ids ...string) (found bool, err error) {
	from = from.Add(-time.Minute)
	err = readAll(ctx, q.results, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects,
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy,
		OptStartTime:   &from,
		HeadersOnly:    true,
	}, recordBatch, func(m jetstream.Msg, _ *jetstream.MsgMetadata) bool {
		found = slices.Contains(ids, m.Headers().Get(nats.MsgIdHdr))

		return !found
	})

	return found, err
}

// Requeue sends a job back to the workers. Its record keeps waiting in the ledger until a worker
// ends the job or lets it wait again.
func (q *Queue) Requeue(ctx context.Context, m *Message) error {
	back := nats.NewMsg(q.RequeueSubject(m.Job.Priority, m.Job.Source))
	if err := m.encode(back); err != nil {
		return err
	}

	return q.publishUntilAnswered(ctx, q.jobCommits, []*nats.Msg{back}, func(int, *message) {})
}

// Final returns a job's final event, or false if it has none yet or was never submitted.
func (q *Queue) Final(ctx context.Context, ref pipeline.Ref) (results.Event, bool, error) {
	j, err := q.ledger.Job(ctx, ref)
	if err != nil {
		return results.Event{}, false, fmt.Errorf("job %s: %w", ref, err)
	}

	return j.Event, j.State == JobDone, nil
}

// ErrPending says that a job was accepted, and had no final event when the wait ended.
var ErrPending = errors.New("accepted, but without a final event yet")

// Await waits for a job's final event, and returns ErrPending if ctx ends first. It does not check
// that the job was ever submitted.
func (q *Queue) Await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	for attempt := 0; ; attempt++ {
		ev, err := q.await(ctx, ref)
		if err == nil {
			return ev, nil
		}
		if serr := fleet.Sleep(ctx, backoff.Delay(attempt, 100*time.Millisecond, 2*time.Second)); serr != nil {
			return results.Event{}, fmt.Errorf("job %s: %w (%w)", ref, ErrPending, err)
		}
	}
}

func (q *Queue) await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	c, err := q.js.OrderedConsumer(ctx, q.LedgerStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{q.LedgerSubject(ref)},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return results.Event{}, fmt.Errorf("watch job: %w", err)
	}

	found := make(chan results.Event, 1)
	watch, err := c.Consume(func(m jetstream.Msg) {
		var ev results.Event
		if JobState(m.Headers().Get(headerState)) == JobDone && ev.UnmarshalJSON(m.Data()) == nil {
			select {
			case found <- ev:
			default:
			}
		}
	}, pullExpiry, pullHeartbeat)
	if err != nil {
		return results.Event{}, fmt.Errorf("watch job: %w", err)
	}
	defer watch.Stop()

	select {
	case ev := <-found:
		return ev, nil
	case <-ctx.Done():
		return results.Event{}, ctx.Err()
	}
}

// Detect a lost connection soon: the client's own defaults are ten times as long.
const (
	pullExpiry    = jetstream.PullExpiry(5 * time.Second)
	pullHeartbeat = jetstream.PullHeartbeat(time.Second)
)
