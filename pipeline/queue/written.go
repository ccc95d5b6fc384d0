package queue

import "sync"

// written keeps the newest records that this process wrote, by subject, so that its poller need not
// read again what its worker has just written. Another process may have replaced such a record
// since. So it may only be used for a change that names its revision: the server refuses that
// change, and the record is forgotten. It is safe for concurrent use.
type written[T any] struct {
	mu     sync.Mutex
	now    map[string]revised[T]
	before map[string]revised[T] // the previous generation
}

type revised[T any] struct {
	value    T
	revision uint64
}

const (
	writtenMost  = 2048    // records of a generation
	writtenBytes = 4 << 10 // larger records are not kept
)

// put keeps a record, unless a newer one is kept.
func (w *written[T]) put(subject string, value T, revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.now[subject].revision > revision || w.before[subject].revision > revision {
		return
	}
	if w.now == nil || len(w.now) >= writtenMost {
		w.before = w.now
		w.now = map[string]revised[T]{}
	}
	w.now[subject] = revised[T]{value: value, revision: revision}
}

func (w *written[T]) get(subject string) (revised[T], bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	r, ok := w.now[subject]
	if !ok {
		r, ok = w.before[subject]
	}

	return r, ok
}

func (w *written[T]) forget(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	delete(w.now, subject)
	delete(w.before, subject)
}
