package pipeline

import (
	"context"
	"fmt"

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
