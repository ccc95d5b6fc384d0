package queue

import (
	"context"
	"slices"
	"sync"
)

// finals notifies the callers of a process that wait for final events. Its zero value is ready.
type finals struct {
	mu    sync.Mutex
	watch *finalsWatch // nil if nobody waits
}

// followFunc calls ended with the record's name of each job that ends, until stop is called.
type followFunc func(ctx context.Context, ended func(record string)) (stop func(), err error)

// finalsWatch is a consumer of the ledger and the callers that share it. finals.mu guards it.
type finalsWatch struct {
	waits   map[string][]chan struct{} // by name of the job's record
	started chan struct{}              // closed once the consumer exists or could not be created
	stop    func()                     // nil if it could not be created
	err     error
}

// join starts to wait for the end of the job whose record has this name. done receives a value when
// the job ends after join returned. The first caller starts the consumer with follow. Each must
// call leave; the last one stops the consumer.
func (f *finals) join(ctx context.Context, record string, follow followFunc) (done <-chan struct{}, leave func(), err error) {
	c := make(chan struct{}, 1)
	w, isFirst := f.add(record, c)
	leave = func() { f.remove(w, record, c) }

	if isFirst {
		stop, err := follow(ctx, f.notify)
		f.mu.Lock()
		w.stop = stop
		w.err = err
		f.mu.Unlock()
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

	if isFirst = f.watch == nil || f.watch.err != nil; isFirst {
		f.watch = &finalsWatch{waits: map[string][]chan struct{}{}, started: make(chan struct{})}
	}
	f.watch.waits[record] = append(f.watch.waits[record], c)

	return f.watch, isFirst
}

// remove removes a caller. The last one stops the consumer.
func (f *finals) remove(w *finalsWatch, record string, c chan struct{}) {
	f.mu.Lock()
	w.waits[record] = slices.DeleteFunc(w.waits[record], func(other chan struct{}) bool { return other == c })
	if len(w.waits[record]) == 0 {
		delete(w.waits, record)
	}
	isLast := len(w.waits) == 0
	if isLast && f.watch == w {
		f.watch = nil
	}
	stop := w.stop
	f.mu.Unlock()

	if isLast && stop != nil {
		stop()
	}
}

// notify wakes those who wait for a job that has ended.
func (f *finals) notify(record string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.watch == nil {
		return
	}
	for _, c := range f.watch.waits[record] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
