package queue

import (
	"cmp"
	"sync"

	"backburn/pipeline"
)

// writeCache keeps the newest records that this process wrote, by subject, so that its poller need
// not read again what its worker has just written. Another process may have replaced such a record
// since. So a cached record may only be used if its revision is known to be the newest, or for a
// change that names its revision. If the record was replaced, the server refuses that change, and
// the record is forgotten. A writeCache is safe for concurrent use.
type writeCache struct {
	mu       sync.Mutex
	current  map[string]*writtenRecord
	previous map[string]*writtenRecord // the previous generation
}

// writtenRecord is a pending sample, or a waiting job without contents.
type writtenRecord struct {
	revision uint64
	sample   pipeline.Sample
	waiting  *Message
}

const (
	maxCachedWrites = 4096    // records of a generation
	maxCachedBytes  = 4 << 10 // larger records are not kept
)

// put keeps a record, unless a newer one is kept.
func (w *writeCache) put(subject string, r *writtenRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if kept := w.find(subject); kept != nil && kept.revision > r.revision {
		return
	}
	if w.current == nil || len(w.current) >= maxCachedWrites {
		w.previous = w.current
		w.current = map[string]*writtenRecord{}
	}
	w.current[subject] = r
}

func (w *writeCache) get(subject string) *writtenRecord {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.find(subject)
}

func (w *writeCache) find(subject string) *writtenRecord {
	return cmp.Or(w.current[subject], w.previous[subject])
}

func (w *writeCache) forget(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	delete(w.current, subject)
	delete(w.previous, subject)
}
