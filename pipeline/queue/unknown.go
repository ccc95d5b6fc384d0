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
func (i *Inspector) Unknown(ctx context.Context, source string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}

	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}
	all, err := i.jobs.search(ctx, source, unknownLimit, func(_ *jetstream.RawStreamMsg, m Message, _ error) bool {
		delete(missing, m.Job.ID)
		return len(missing) > 0
	})
	if err != nil || !all {
		return nil, err
	}

	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !missing[id] })

	return i.ledger.withoutRecord(ctx, source, left)
}

// withoutRecord returns the jobs that have no record in the ledger. It reads them one by one: a
// watcher may only read the records of its own sources, and the server checks that by the subject.
func (l *Ledger) withoutRecord(ctx context.Context, source string, ids []string) ([]string, error) {
	var missing []string
	for _, id := range ids {
		m, err := l.streams.ledger.GetLastMsgForSubject(ctx, l.streams.LedgerSubject(pipeline.Ref{Source: source, ID: id}))
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
