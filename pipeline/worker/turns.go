package worker

import (
	"sync"
	"time"
)

// turns say who may claim a sample next, to upload it. There are as many as upload slots and, where
// uploads follow each other faster than claims become durable, some more: then the next samples are
// claimed while others are uploaded, and no slot waits for a claim. Where uploads are rare or slow
// there are none ahead, so nothing that is claimed waits long for its slot. It is safe for
// concurrent use.
type turns struct {
	*slots

	uploads int // at a time

	mu    sync.Mutex
	claim time.Duration // what a claim took, lately
	pause time.Duration // from the end of one upload to that of the next, lately
	ended time.Time     // the last upload
}

// mostAhead is how many more turns than upload slots there are, for each slot, at most.
const mostAhead = 15

func newTurns(uploads int) *turns {
	return &turns{
		slots:   newSlots(uploads),
		uploads: uploads,
		pause:   time.Second,
	}
}

// claimed notes how long a claim took.
func (t *turns) claimed(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.claim += (took - t.claim) / 8
	t.adapt()
}

// uploaded notes that an upload ended.
func (t *turns) uploaded(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.pause += (min(now.Sub(t.ended), time.Second) - t.pause) / 8
	t.ended = now
	t.adapt()
}

// adapt has as many turns ahead as uploads end while a claim becomes durable. The caller holds mu.
func (t *turns) adapt() {
	pause := max(t.pause, time.Microsecond)
	ahead := int((t.claim + pause/2) / pause)
	t.resize(t.uploads + min(ahead, mostAhead*t.uploads))
}
