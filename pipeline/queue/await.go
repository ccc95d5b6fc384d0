package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backburn/internal/backoff"
	"backburn/pipeline"
	"backburn/results"
)

// Final returns a job's final event, or false if it has none yet or was never submitted.
func (l *Ledger) Final(ctx context.Context, ref pipeline.Ref) (results.Event, bool, error) {
	j, err := l.Job(ctx, ref)
	if err != nil {
		return results.Event{}, false, fmt.Errorf("job %s: %w", ref, err)
	}

	return j.Event, j.State == JobDone, nil
}

// ErrNoFinalEvent says that a job had no final event when Await gave up.
var ErrNoFinalEvent = errors.New("no final event yet")

// Await waits for a job's final event. It returns ErrNoFinalEvent if ctx ends first. It does not
// check that the job was ever submitted. All waits of a process share one consumer.
func (l *Ledger) Await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	for attempt := 0; ; attempt++ {
		ev, err := l.await(ctx, ref)
		if err == nil {
			return ev, nil
		}
		if serr := pipeline.Sleep(ctx, backoff.Delay(attempt, 100*time.Millisecond, 2*time.Second)); serr != nil {
			return results.Event{}, fmt.Errorf("job %s: %w (%w)", ref, ErrNoFinalEvent, err)
		}
	}
}

// maxCheckInterval is the longest time after which a waiting caller looks for the event by itself.
// It only matters if a notification is lost, for example because the stream was deleted.
const maxCheckInterval = 5 * time.Second

func (l *Ledger) await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	done, leave, err := l.finals.join(ctx, recordName(ref), l.followEnds)
	if err != nil {
		return results.Event{}, fmt.Errorf("watch jobs: %w", err)
	}
	defer leave()

	for check := maxCheckInterval; ; check = min(2*check, maxCheckInterval) {
		ev, found, err := l.Final(ctx, ref)
		if found || err != nil {
			return ev, err
		}

		select {
		case <-done:
			check = conflictWait / 2 // the replica that was asked may lag behind
		case <-time.After(check):
		case <-ctx.Done():
			return results.Event{}, ctx.Err()
		}
	}
}

// followEnds calls ended with the record's name of each job that ends from now on, until stop is
// called.
func (l *Ledger) followEnds(ctx context.Context, ended func(record string)) (stop func(), err error) {
	return l.FollowJobs(ctx, func(r JobHeader) {
		if r.State == JobDone {
			ended(r.Name)
		}
	}, nil)
}
