package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// unknownLimit is the most jobs of a source that are read from JOBS in a search.
const unknownLimit = 20_000

// Unknown returns those of the given jobs of a source that the queue does not know: they are
// neither queued nor waiting, and have no final event. A job that was accepted over HTTP and never
// reached the queue counts as unknown. If too many messages would have to be read, Unknown returns
// none. It searches in the order in which jobs move, so that it misses none.
func (q *Queue) Unknown(ctx context.Context, source string, ids []string) ([]string, error) {
	left, all, err := q.notQueued(ctx, source, ids)
	if err != nil || !all {
		return nil, err
	}

	return q.ledger.withoutRecord(ctx, source, left)
}

// notQueued returns those of the jobs that are not in JOBS. all says whether JOBS was read to its
// end, or until all of them were found.
func (q *Queue) notQueued(ctx context.Context, source string, ids []string) (left []string, all bool, err error) {
	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}

	filter := q.prefix + ".*.*." + source // submitted, or requeued
	for seq, n := uint64(1), 0; len(missing) > 0; n++ {
		m, err := q.jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", q.JobsStream(), err)
		}
		if n == unknownLimit {
			return nil, false, nil
		}
		e, _ := q.open(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
		delete(missing, e.Job.ID)
		seq = m.Sequence + 1
	}

	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !missing[id] }), true, nil
}

// withoutRecord returns the jobs that have no record in the ledger. It reads them one by one: a
// watcher may only read the records of its own sources, and the server checks that by the subject.
func (l *Ledger) withoutRecord(ctx context.Context, source string, ids []string) ([]string, error) {
	var missing []string
	for _, id := range ids {
		m, err := l.stream.GetLastMsgForSubject(ctx, l.q.LedgerSubject(pipeline.Ref{Source: source, ID: id}))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			missing = append(missing, id)
		case err != nil:
			return nil, fmt.Errorf("read the ledger: %w", err)
		case JobState(m.Header.Get(headerState)) == JobAccepted:
			missing = append(missing, id)
		}
	}

	return missing, nil
}
