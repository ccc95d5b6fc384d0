package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// record is the memory of a job: its one final event. It is written before the event is
// published, and once: whoever comes second, be it a second delivery or a worker that
// slept through its lease, adopts what is written instead of deciding anew. So a job
// can't end in two ways.
type record struct {
	Event json.RawMessage `json:"event"`
	At    time.Time       `json:"at"`
}

// settle ends a job with its final event: the record, the dead letter if it failed, the
// event; in this order, each acknowledged before the next. It may be repeated at
// will. Only after it returned nil may the job's message be given up.
func (q *Queue) settle(ctx context.Context, e *envelope, ev results.Event) (results.Event, error) {
	body, err := ev.MarshalJSON()
	if err != nil {
		return ev, err
	}
	key := jobKey(e.Job.ID)
	was, err := q.recordFirst(ctx, key, record{Event: body, At: ev.Time})
	first := was.Type == ""
	if err == nil && !first {
		ev = was
		body, err = ev.MarshalJSON()
	}
	if err != nil {
		return ev, fmt.Errorf("settle job %s: %w", e.Job.ID, err)
	}
	// The server's own memory of ids covers a repeat within its window. An older decision
	// was published then, unless its worker died in between: look.
	there := false
	if !first && time.Since(ev.Time) > dedupeWindow/2 {
		if there, err = q.published(ctx, ev); err != nil {
			return ev, fmt.Errorf("settle job %s: %w", e.Job.ID, err)
		}
	}
	if !there {
		if err := q.tell(ctx, e, ev, body); err != nil {
			return ev, err
		}
	}
	if c := e.Job.Content; c != nil && c.Object != "" && ev.Type != results.Failed {
		q.dropObject(ctx, c.Object)
	}
	return ev, nil
}

// recordFirst records how a job ended, unless it is recorded already: then it returns that event.
func (q *Queue) recordFirst(ctx context.Context, key string, r record) (results.Event, error) {
	for {
		_, err := q.save(ctx, q.records, key, r, 0)
		if !errors.Is(err, errConflict) {
			return results.Event{}, err
		}
		was, err := q.decided(ctx, key)
		if err != nil || was.Type != "" {
			return was, err
		}
		if err := sleep(ctx, conflictWait); err != nil { // the replica that was asked lags behind
			return was, err
		}
	}
}

// tell buries a job that failed, and publishes its final event, whose JSON is body.
func (q *Queue) tell(ctx context.Context, e *envelope, ev results.Event, body []byte) error {
	if ev.Type == results.Failed {
		if err := q.bury(ctx, e, ev); err != nil {
			return err
		}
	}
	if err := q.publishEncoded(ctx, ev, body); err != nil {
		return fmt.Errorf("settle job %s: %w", e.Job.ID, err)
	}
	return nil
}

// decided returns the final event that is recorded for a job; a zero event if none is.
func (q *Queue) decided(ctx context.Context, key string) (results.Event, error) {
	var (
		r  record
		ev results.Event
	)
	rev, err := q.load(ctx, q.records, key, &r)
	if err != nil || rev == 0 {
		return ev, err
	}
	if err := ev.UnmarshalJSON(r.Event); err != nil {
		return ev, err
	}
	return ev, nil
}

// published looks for an event in RESULTS, from shortly before the time it was decided
// at. It reads one outcome of one source: enough for a question that is hardly ever asked.
func (q *Queue) published(ctx context.Context, ev results.Event) (bool, error) {
	from, id, found := ev.Time.Add(-time.Minute), ev.ID(), false
	err := readAll(ctx, q.results, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{ev.Subject(q.prefix)},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy,
		OptStartTime:   &from,
		HeadersOnly:    true,
	}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) bool {
		found = m.Headers().Get(nats.MsgIdHdr) == id
		return !found
	})
	return found, err
}

// bury copies a failed job to DEAD, whole, with its reason.
func (q *Queue) bury(ctx context.Context, e *envelope, ev results.Event) error {
	reason := ev.Data.Error
	if reason == nil {
		return fmt.Errorf("bury job %s: its event has no reason", e.Job.ID)
	}
	m := e.onward(q.DeadSubject(string(reason.Reason), e.Job.Source))
	m.Header.Set(HeaderReason, string(reason.Reason))
	m.Header.Set(HeaderError, oneLine(reason.Message))
	m.Header.Set(HeaderAttempts, strconv.Itoa(ev.Data.Attempts))
	m.Header.Set(nats.MsgIdHdr, "dead."+ev.ID())
	inject(ctx, m.Header)
	if _, err := q.publish(ctx, m); err != nil {
		return fmt.Errorf("bury job %s: %w", e.Job.ID, err)
	}
	return nil
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	if len(b) > 1000 {
		b = b[:1000]
	}
	return string(b)
}

// eventFor starts an event about a job.
func eventFor(t results.Type, j Job, at time.Time) results.Event {
	return results.Event{Type: t, Time: at.UTC(), Data: results.Data{
		JobID: j.ID, Source: j.Source,
		Filename: j.Filename, FilenameB64: j.FilenameB64, Path: j.Path, PathB64: j.PathB64,
		SHA256: j.SHA256, Size: j.Size, URL: j.URL,
		ReceivedAt: j.ReceivedAt, Metadata: j.Metadata,
	}}
}
