package poller

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// mark is the position in the ledger up to which the final events of jobs that a leader ended are
// published. A leader first records the end of a job in the ledger and then publishes its event. If
// it dies in between, only the next leader can publish the event: it looks for such records after
// the mark.
type mark struct {
	created time.Time // when the ledger was created
	from    uint64    // the stored mark when we began to lead
	lost    bool      // there was no mark: check only recent events

	mu     sync.Mutex
	seen   uint64         // the last ledger sequence that we have seen
	open   map[uint64]int // events in progress, by the value of seen at their start
	stored uint64
}

// publishedMark is the mark as stored for the next leader.
type publishedMark struct {
	Sequence uint64 `json:"sequence"`
}

const (
	publishedKey = "published"
	markEvery    = time.Second // how often the mark is stored
	markLostFor  = time.Hour   // without a mark, only events younger than this are checked
)

// load reads the mark of the previous leader. If there is none, either no leader has ended a job
// yet or the mark was lost.
func (m *mark) load(ctx context.Context, q *queue.Queue) error {
	ledger, err := q.Ledger().State(ctx)
	if err != nil {
		return err
	}
	stored, revision, err := fleet.Get[publishedMark](ctx, q.Control(), publishedKey)
	if err != nil {
		return err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.created = ledger.Created
	m.from = stored.Sequence
	m.lost = revision == 0
	if m.from > ledger.LastSeq { // the ledger was created again
		m.from = 0
	}
	m.seen = m.from
	m.stored = m.from
	m.open = map[uint64]int{}

	return nil
}

// tooOld reports whether an event need not be checked, because the mark was lost and the event is
// old.
func (m *mark) tooOld(ev results.Event, now time.Time) bool {
	return m.lost && now.Sub(ev.Time) > markLostFor
}

// recordSeen records that the ledger's consumer delivered a record.
func (m *mark) recordSeen(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = max(m.seen, seq)
}

// ledgerReplaced reports whether the ledger was created again, or an older state of it restored,
// since load. Then readers that continue at a sequence number miss records, and have to start
// again.
func (m *mark) ledgerReplaced(ctx context.Context, q *queue.Queue) (bool, error) {
	m.mu.Lock()
	created := m.created
	seen := m.seen // before the request, because it grows
	m.mu.Unlock()

	ledger, err := q.Ledger().State(ctx)
	if err != nil {
		return false, err
	}

	return !ledger.Created.Equal(created) || ledger.LastSeq < seen, nil
}

// begin records that a job is about to be ended. The caller calls the returned function once its
// event is published.
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

// sequence returns the position up to which every event is published.
func (m *mark) sequence() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()

	s := m.seen
	for floor := range m.open {
		s = min(s, floor)
	}

	return s
}

// storeRegularly stores the mark regularly until ctx ends.
func (m *mark) storeRegularly(ctx context.Context, q *queue.Queue) error {
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
