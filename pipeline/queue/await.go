package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
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

// ErrNoFinalEvent says that a job had no final event when the wait for it ended.
var ErrNoFinalEvent = errors.New("accepted, but without a final event yet")

// Await waits for a job's final event. It returns ErrNoFinalEvent if ctx ends first. It does not
// check that the job was ever submitted. All waits of a process share one consumer.
func (l *Ledger) Await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	for attempt := 0; ; attempt++ {
		ev, err := l.await(ctx, ref)
		if err == nil {
			return ev, nil
		}
		if serr := fleet.Sleep(ctx, backoff.Delay(attempt, 100*time.Millisecond, 2*time.Second)); serr != nil {
			return results.Event{}, fmt.Errorf("job %s: %w (%w)", ref, ErrNoFinalEvent, err)
		}
	}
}

// longestFinalCheck is how often a waiting caller looks for the event by itself. It only matters if
// a notification is lost, for example with the stream.
const longestFinalCheck = 5 * time.Second

func (l *Ledger) await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	done, leave, err := l.finals.join(ctx, l, recordName(ref))
	if err != nil {
		return results.Event{}, fmt.Errorf("watch jobs: %w", err)
	}
	defer leave()

	for check := longestFinalCheck; ; check = min(2*check, longestFinalCheck) {
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

// finals notifies the callers of a process that wait for final events. Its zero value is ready.
type finals struct {
	mu    sync.Mutex
	watch *finalsWatch // nil if nobody waits
}

// finalsWatch is a consumer of the ledger and the callers that share it.
type finalsWatch struct {
	waits   map[string]map[chan struct{}]struct{} // by name of the job's record; guarded by finals.mu
	started chan struct{}                         // closed once the consumer exists or could not be created
	stop    func()                                // nil if it could not be created
	err     error
}

// join starts to wait for the end of the job with a record. done receives a value each time that
// the job ends after join returned. The caller must call leave, which stops the consumer if it was
// the last.
func (f *finals) join(ctx context.Context, l *Ledger, record string) (done <-chan struct{}, leave func(), err error) {
	c := make(chan struct{}, 1)
	w, isFirst := f.add(record, c)
	leave = func() { f.remove(w, record, c) }

	if isFirst {
		w.stop, w.err = l.followJobs(ctx, jetstream.DeliverNewPolicy, f.notify, func() {})
		if w.err != nil {
			f.abandon(w)
		}
		close(w.started)
	}

	select {
	case <-w.started:
		err = w.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		leave()
		return nil, nil, err
	}

	return c, leave, nil
}

// add adds a caller. isFirst says that it has to start the consumer.
func (f *finals) add(record string, c chan struct{}) (w *finalsWatch, isFirst bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if isFirst = f.watch == nil; isFirst {
		f.watch = &finalsWatch{waits: map[string]map[chan struct{}]struct{}{}, started: make(chan struct{})}
	}
	w = f.watch
	if w.waits[record] == nil {
		w.waits[record] = map[chan struct{}]struct{}{}
	}
	w.waits[record][c] = struct{}{}

	return w, isFirst
}

// remove removes a caller. The last one stops the consumer.
func (f *finals) remove(w *finalsWatch, record string, c chan struct{}) {
	if isLast := f.drop(w, record, c); isLast && w.stop != nil {
		w.stop()
	}
}

func (f *finals) drop(w *finalsWatch, record string, c chan struct{}) (isLast bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(w.waits[record], c)
	if len(w.waits[record]) == 0 {
		delete(w.waits, record)
	}
	if isLast = len(w.waits) == 0; isLast && f.watch == w {
		f.watch = nil
	}

	return isLast
}

// abandon makes the next caller start another consumer.
func (f *finals) abandon(w *finalsWatch) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.watch == w {
		f.watch = nil
	}
}

// notify wakes those who wait for a job that has ended.
func (f *finals) notify(r JobRecord) {
	if r.State != JobDone {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if f.watch == nil {
		return
	}
	for c := range f.watch.waits[r.Name] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
