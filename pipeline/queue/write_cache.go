package queue

import "sync"

// writeCache keeps the newest records that this process wrote, by subject, so that its poller need
// not read again what its worker has just written. Another process may have replaced such a record
// since. So a cached record may only be used if its revision is known to be the newest, or for a
// change that names its revision. If the record was replaced, the server refuses that change, and
// the record is forgotten. A writeCache is safe for concurrent use.
type writeCache[T any] struct {
	mu       sync.Mutex
	current  map[string]cachedRecord[T]
	previous map[string]cachedRecord[T] // the previous generation
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

	if w.current[subject].revision > revision || w.previous[subject].revision > revision {
		return
	}
	if w.current == nil || len(w.current) >= maxCachedWrites {
		w.previous = w.current
		w.current = map[string]cachedRecord[T]{}
	}
	w.current[subject] = cachedRecord[T]{value: value, revision: revision}
}

func (w *writeCache[T]) get(subject string) (cachedRecord[T], bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	r, ok := w.current[subject]
	if !ok {
		r, ok = w.previous[subject]
	}

	return r, ok
}

func (w *writeCache[T]) forget(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	delete(w.current, subject)
	delete(w.previous, subject)
}
