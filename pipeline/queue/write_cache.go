package queue

import "sync"

// writeCache keeps the newest records that this process wrote, by subject, so that its poller need
// not read again what its worker has just written. Another process may have replaced such a record
// since. So it may only be used if its revision is known to be the newest, or for a change that
// names its revision: the server refuses that change, and the record is forgotten. It is safe for
// concurrent use.
type writeCache[T any] struct {
	mu     sync.Mutex
	now    map[string]cachedRecord[T]
	before map[string]cachedRecord[T] // the previous generation
}

type cachedRecord[T any] struct {
	value    T
	revision uint64
}

const (
	maxCachedWrites = 2048    // records of a generation
	maxCachedBytes  = 4 << 10 // larger records are not kept
)

// put keeps a record, unless a newer one is kept.
func (w *writeCache[T]) put(subject string, value T, revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.now[subject].revision > revision || w.before[subject].revision > revision {
		return
	}
	if w.now == nil || len(w.now) >= maxCachedWrites {
		w.before = w.now
		w.now = map[string]cachedRecord[T]{}
	}
	w.now[subject] = cachedRecord[T]{value: value, revision: revision}
}

func (w *writeCache[T]) get(subject string) (cachedRecord[T], bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	r, ok := w.now[subject]
	if !ok {
		r, ok = w.before[subject]
	}

	return r, ok
}

func (w *writeCache[T]) forget(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	delete(w.now, subject)
	delete(w.before, subject)
}
