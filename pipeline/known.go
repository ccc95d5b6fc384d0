package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// Final returns a job's final event; false where it has none yet, or was never handed in.
func (q *Queue) Final(ctx context.Context, id string) (results.Event, bool, error) {
	ev, err := q.decided(ctx, jobKey(id))
	if err != nil {
		return results.Event{}, false, fmt.Errorf("job %s: %w", id, err)
	}
	return ev, ev.Type != "", nil
}

// Await waits for a job's final event until ctx ends, which is ErrPending. That the job was
// handed in is for the caller to know.
func (q *Queue) Await(ctx context.Context, id string) (results.Event, error) {
	ev, err := q.final(ctx, jobKey(id))
	if err != nil && ctx.Err() != nil {
		return ev, fmt.Errorf("job %s: %w (%w)", id, ErrPending, err)
	}
	return ev, err
}

// SameJob reports whether the job of j's id is about what j hands in (its link, or what was stored), for
// the same source: an id that was used before stands for what was handed in then. A job that has left
// JOBS and has no final event is looked for where the server said that the id was known to it,
// and otherwise counts as the same.
func (q *Queue) SameJob(ctx context.Context, j Job, s Stored) (bool, error) {
	key := cmp.Or(s.SHA256, sampleKey(Job{Kind: KindURL, URL: j.URL}))
	if s.before > 0 {
		m, err := q.jobs.GetMsg(ctx, s.before)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			m, err = q.waiting.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(q.waitingSubject("*", jobKey(j.ID))))
		}
		switch {
		case err == nil:
			e, _ := q.open(cmp.Or(m.Header.Get(HeaderSubject), m.Subject), m.Header, m.Data, m.Sequence, m.Time)
			return e.Job.Source == j.Source && sampleKey(e.Job) == key, nil
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return false, fmt.Errorf("job %s: %w", j.ID, err)
		}
	}
	ev, ended, err := q.Final(ctx, j.ID)
	return !ended || ev.Data.Source == j.Source && (keyOf(ev.Data) == "" || keyOf(ev.Data) == key), err
}

// Known says what is known of contents by their SHA-256 (64 lower-case hexadecimal digits);
// false for nothing.
func (q *Queue) Known(ctx context.Context, sha256 string) (SampleTrace, bool, error) {
	t := &tracer{q: q, key: sha256}
	if err := t.sample(ctx); err != nil {
		return SampleTrace{}, false, err
	}
	if t.out.Sample == nil {
		return SampleTrace{}, false, nil
	}
	return *t.out.Sample, true, nil
}
