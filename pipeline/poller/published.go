package poller

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// mark knows up to where in the ledger the final events of the jobs that a leader ended are
// published. Such a job is ended by one commit, after which nothing waits for its event any more:
// should the leader die before the event is out, the next one finds it behind the mark.
type mark struct {
	from uint64 // what the store said when we began to lead
	lost bool   // there was no mark: only what is recent is looked at

	mu     sync.Mutex
	seen   uint64         // the last sequence of the ledger that we know of
	open   map[uint64]int // events on their way, by what was seen when they began
	stored uint64
}

// publishedMark is the mark as it is kept for the next leader.
type publishedMark struct {
	Sequence uint64 `json:"sequence"`
}

const (
	publishedKey = "published"
	markEvery    = time.Second
	markLostFor  = time.Hour
)

// load reads where the leader before us got to. Without a mark nothing was ended by any.
func (m *mark) load(ctx context.Context, q *queue.Queue) error {
	last, err := q.LastSequence(ctx)
	if err != nil {
		return err
	}
	stored, revision, err := fleet.Get[publishedMark](ctx, q.Control(), publishedKey)
	if err != nil {
		return err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.from = stored.Sequence
	m.lost = revision == 0
	if m.from > last { // the ledger was made anew
		m.from = 0
	}
	m.seen = m.from
	m.stored = m.from
	m.open = map[uint64]int{}

	return nil
}

// tooOld reports whether an event need not be looked for, since the mark was lost and it is old.
func (m *mark) tooOld(ev results.Event, now time.Time) bool {
	return m.lost && now.Sub(ev.Time) > markLostFor
}

// saw notes a record that the ledger's consumer delivered.
func (m *mark) saw(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = max(m.seen, seq)
}

// begin notes that a job is about to be ended; its event is out when the returned function is
// called.
func (m *mark) begin() (published func()) {
	m.mu.Lock()
	floor := m.seen
	m.open[floor]++
	m.mu.Unlock()

	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.open[floor]--; m.open[floor] == 0 {
			delete(m.open, floor)
		}
	}
}

// sequence is up to where every event is out.
func (m *mark) sequence() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()

	s := m.seen
	for floor := range m.open {
		s = min(s, floor)
	}

	return s
}

// keep stores the mark until ctx ends.
func (m *mark) keep(ctx context.Context, q *queue.Queue) error {
	for {
		if err := fleet.Sleep(ctx, markEvery); err != nil {
			return err
		}

		next := publishedMark{Sequence: m.sequence()}
		if next.Sequence == m.stored {
			continue
		}
		err := fleet.Change(ctx, q.Control(), publishedKey, func(v *publishedMark) bool {
			*v = next
			return true
		})
		if err != nil {
			return err
		}
		m.stored = next.Sequence
	}
}
