package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/span"
	"backburn/results"
)

// Events ends jobs with their final events, publishes events on RESULTS, and finds them again. It
// is safe for concurrent use.
type Events struct {
	streams *Streams
	commits *committer
	ledger  *Ledger
	dead    *DeadLetters
	objects *Objects
}

// Ending is the end of a job.
type Ending struct {
	Event   results.Event
	Sample  string    // the key of the job's sample, or ""
	Entry   JobEntry  // the job's record, as it was read
	Changes []*Change // changes that are written together with the job's record
	By      string    // the term of the leader that ends a waiting job; "" if a worker ends the job
}

// Finish ends a job: it writes the final event to the ledger, a dead letter if the job failed, and
// the event to RESULTS, each acknowledged before the next. If the leader ends the job (Ending.By),
// the dead letter comes before the ledger. Finish may be repeated. A job that already has a final
// event keeps it: a second delivery, or a worker that missed the end of its lease, publishes the
// recorded event. So a job cannot end in two ways. Finish returns the job's final event. Only after
// that may the caller acknowledge the job's message. A worker gets pipeline.ErrConflict if a job
// with the same ID and other contents was recorded meanwhile.
func (e *Events) Finish(ctx context.Context, m *Message, end Ending) (results.Event, error) {
	end.Event.Simulated = e.streams.Simulated()
	body, err := end.Event.MarshalJSON()
	if err != nil {
		return end.Event, err
	}

	// A waiting job exists only in its ledger record, so write its dead letter before that is
	// replaced.
	if end.By != "" {
		if err := e.dead.putFailed(ctx, m, end.Event); err != nil {
			return end.Event, err
		}
	}

	ev, adopted, err := e.recordFinal(ctx, m.Job.Ref(), end, body)
	if err != nil {
		return ev, fmt.Errorf("finish job %s: %w", m.Job.Ref(), err)
	}
	if adopted {
		return ev, e.Republish(ctx, m, ev)
	}

	if end.By == "" {
		if err := e.dead.putFailed(ctx, m, ev); err != nil {
			return ev, err
		}
	}
	if err := e.publishEncoded(ctx, ev, body); err != nil {
		return ev, fmt.Errorf("finish job %s: %w", m.Job.Ref(), err)
	}
	e.dropContents(ctx, m, ev)

	return ev, nil
}

// recordFinal writes the final event of a job. If the job already has one, recordFinal returns that
// one, with adopted set.
func (e *Events) recordFinal(ctx context.Context, ref pipeline.Ref, end Ending, body []byte) (results.Event, bool, error) {
	entry := end.Entry
	with := end.Changes
	for {
		if entry.State == JobDone {
			return entry.Event, true, nil
		}

		done := e.ledger.jobUpdate(ref, JobDone, end.Sample, body, entry.Revision)
		if end.By != "" {
			done.msg.Header[headerBy] = []string{end.By}
		}
		err := e.ledger.Commit(ctx, append(with, done)...)
		switch {
		case err == nil:
			return end.Event, false, nil
		case !errors.Is(err, pipeline.ErrConflict):
			return end.Event, false, err
		case done.Revision == 0 && len(with) > 0:
			// One of these changes may have conflicted. Write the event without them: whoever reads
			// their records next decides again.
			with = nil
		case done.Revision != 0: // the event is recorded, and only another change was refused
			return end.Event, false, nil
		}

		before := entry.Revision
		if entry, err = e.ledger.Job(ctx, ref); err != nil {
			return end.Event, false, err
		}
		if end.By == "" && end.Sample != "" && entry.HasOtherSample(end.Sample) {
			return end.Event, false, pipeline.ErrConflict
		}
		if entry.Revision == before { // the replica lags behind, or another change was refused
			if err := pipeline.Sleep(ctx, conflictWait); err != nil {
				return end.Event, false, err
			}
		}
	}
}

// Republish publishes the final event of a job again, in case a process died after recording and
// before publishing it. m is nil if the caller does not have the job.
func (e *Events) Republish(ctx context.Context, m *Message, ev results.Event) error {
	published, err := e.isPublished(ctx, ev)
	if err == nil && !published {
		if err = e.dead.putFailed(ctx, m, ev); err == nil {
			err = e.Publish(ctx, ev)
		}
	}
	if err != nil {
		return fmt.Errorf("finish job %s/%s: %w", ev.Data.Source, ev.Data.JobID, err)
	}
	e.dropContents(ctx, m, ev)

	return nil
}

// dropContents removes the object of a job that has its verdict. If that fails, the bucket's age
// limit removes it.
func (e *Events) dropContents(ctx context.Context, m *Message, ev results.Event) {
	if m == nil || m.Job.Content == nil || m.Job.Content.Object == "" || ev.Type == results.Failed {
		return
	}
	_ = e.objects.Delete(ctx, m.Job.Content.Object)
}

// MaxAge returns how long events are kept.
func (e *Events) MaxAge() time.Duration { return e.streams.topology.Results.MaxAge }

// Publish publishes an event on RESULTS, with the trace of ctx, and returns once the event is
// durable. A repeat is harmless.
func (e *Events) Publish(ctx context.Context, ev results.Event) error {
	ev.Simulated = e.streams.Simulated()
	body, err := ev.MarshalJSON()
	if err != nil {
		return err
	}

	return e.publishEncoded(ctx, ev, body)
}

func (e *Events) publishEncoded(ctx context.Context, ev results.Event, body []byte) error {
	m := nats.NewMsg(ev.Subject(e.streams.prefix))
	m.Header["Content-Type"] = []string{results.ContentType}
	m.Header[nats.MsgIdHdr] = []string{messageID(ev)}
	span.Inject(ctx, m.Header)
	m.Data = body

	_, err := e.commits.publish(ctx, m)

	return err
}

// isPublished reports whether an event is in RESULTS. For a recent event it returns false without
// looking, because the server drops a repeat. It always looks for an event from before the ledger
// was created: version 1 may have published it with another ID, so the server would not recognize
// the repeat.
func (e *Events) isPublished(ctx context.Context, ev results.Event) (bool, error) {
	if time.Since(ev.Time) <= e.streams.topology.dedupe()/2 && ev.Time.UnixNano() >= e.streams.ledgerCreated.Load() {
		return false, nil
	}

	return e.hasEvent(ctx, ev.Time, []string{ev.Subject(e.streams.prefix)}, messageID(ev), ev.ID()) // the second ID is that of version 1
}

// HasEnded looks for the final event of a job in RESULTS, from the time at which the job was
// received. It finds an event whose record the ledger has lost.
func (e *Events) HasEnded(ctx context.Context, j pipeline.Job) (bool, error) {
	var subjects, ids []string
	for _, t := range []results.Type{results.Verdict, results.Failed} {
		ev := results.Event{Type: t}
		ev.Data.JobID = j.ID
		ev.Data.Source = j.Source
		subjects = append(subjects, e.streams.ResultsSubject(t.Name(), "*", j.Source))
		ids = append(ids, messageID(ev))
	}

	return e.hasEvent(ctx, j.ReceivedAt, subjects, ids...)
}

// hasEvent looks for an event with one of these IDs in RESULTS, from shortly before a time. It
// reads the headers of all events with these subjects, which is fast enough for a rare check.
func (e *Events) hasEvent(ctx context.Context, from time.Time, subjects []string, ids ...string) (bool, error) {
	from = from.Add(-time.Minute)
	for m, err := range readAll(ctx, e.streams.results, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects,
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy,
		OptStartTime:   &from,
		HeadersOnly:    true,
	}, recordBatch) {
		if err != nil || slices.Contains(ids, m.Header.Get(nats.MsgIdHdr)) {
			return err == nil, err
		}
	}

	return false, nil
}

// PublishOnce publishes an event that may already be in RESULTS, unless it is.
func (e *Events) PublishOnce(ctx context.Context, ev results.Event) error {
	if published, err := e.isPublished(ctx, ev); published || err != nil {
		return err
	}

	return e.Publish(ctx, ev)
}

// PublishReport publishes the report about the contents of a job with this final event, unless it
// was published before.
func (e *Events) PublishReport(ctx context.Context, final results.Event, r results.Report, at time.Time) error {
	return e.PublishOnce(ctx, pipeline.ReportEvent(final, r, at, int(e.streams.js.Conn().MaxPayload())/2)) // the other half is for the fields of final
}
