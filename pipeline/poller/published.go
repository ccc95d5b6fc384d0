package poller

import (
	"context"
	"sync"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// markKeeper keeps the published mark, a position in the ledger: if a leader recorded the end of a
// job before that position, the job's final event has been published. A leader first records the
// end of a job in the ledger and then publishes the event. If it dies in between, the next leader
// publishes the event. The next leader only needs to look at the records after the mark.
type markKeeper struct {
	created time.Time // when the ledger was created
	from    uint64    // the stored mark when this worker began to lead
	lost    bool      // no mark was stored: publish only recent events again

	mu   sync.Mutex     // guards seen and open
	seen uint64         // the highest sequence number of a record that we have seen
	open map[uint64]int // number of jobs that are being ended, by the value of seen when that began

	stored uint64 // the mark in the control bucket
}

// publishedMark is the mark in the control bucket, for the next leader.
type publishedMark struct {
	Sequence uint64 `json:"sequence"`
}

const (
	publishedKey = "published"
	markInterval = time.Second // time between two writes of the mark
	lostMarkAge  = time.Hour   // if no mark was stored, only events younger than this are published again
)

// load reads the mark of the previous leader. If there is none, either this is the first leader or
// the mark was lost.
func (m *markKeeper) load(ctx context.Context, q *queue.Queue) error {
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

// tooOld reports whether the mark was lost and the event is older than lostMarkAge. Such an event
// is not published again.
func (m *markKeeper) tooOld(ev results.Event, now time.Time) bool {
	return m.lost && now.Sub(ev.Time) > lostMarkAge
}

// recordSeen stores the sequence number of a record that was read from the ledger.
func (m *markKeeper) recordSeen(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = max(m.seen, seq)
}

// ledgerReplaced reports whether, since load, the ledger was created again or an older state of it
// was restored. Sequence numbers are then used again, so a reader that continues from its last
// position misses records.
func (m *markKeeper) ledgerReplaced(ctx context.Context, q *queue.Queue) (bool, error) {
	m.mu.Lock()
	created := m.created
	seen := m.seen // read before the request, because it grows meanwhile
	m.mu.Unlock()

	ledger, err := q.Ledger().State(ctx)
	if err != nil {
		return false, err
	}

	return !ledger.Created.Equal(created) || ledger.LastSeq < seen, nil
}

// begin keeps the mark from moving past a job whose final event is about to be published. The
// caller calls the returned function once the event is published.
func (m *markKeeper) begin() (published func()) {
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

// sequence returns the current mark.
func (m *markKeeper) sequence() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()

	s := m.seen
	for floor := range m.open {
		s = min(s, floor)
	}

	return s
}

// storeRegularly stores the mark every markInterval, if it has moved, until ctx ends or a write
// fails.
func (m *markKeeper) storeRegularly(ctx context.Context, q *queue.Queue) error {
	for {
		if err := pipeline.Sleep(ctx, markInterval); err != nil {
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
