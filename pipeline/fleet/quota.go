package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// Quota keeps the fleet's count of one day's budget in the store. A process
// reserves a small block by compare-and-set and spends it without another write, so
// the count is never below what was really spent, and above it by no more than the blocks in hand.
// The day ends at 00:00 UTC.
type Quota struct {
	store   *Store
	budget  pipeline.Budget
	limit   int // a day; 0: unlimited
	reserve int // of limit, kept for urgent jobs
	now     func() time.Time

	mu     sync.Mutex
	day    string
	common int // reserved by us and unspent, for any job
	urgent int // likewise, and perhaps out of the reserve: for urgent jobs alone
	seen   int // the fleet's count when we last read it
}

// ErrSpent says that today's budget, or what of it is not reserved, is used up.
var ErrSpent = errors.New("today's budget is used up")

// spent is the value of a day's key.
type spent struct {
	Used int `json:"used"`
}

// NewQuota returns a budget of so many calls a day, of which a part is kept for urgent jobs; 0 is
// unlimited, and counts nothing.
func NewQuota(store *Store, b pipeline.Budget, perDay, reservePercent int, now func() time.Time) *Quota {
	return &Quota{store: store, budget: b, limit: perDay, reserve: perDay * reservePercent / 100, now: now}
}

func quotaKey(b pipeline.Budget, t time.Time) string {
	return "quota." + string(b) + "." + pipeline.Day(t)
}

func (l *Quota) key(day string) string { return "quota." + string(l.budget) + "." + day }

// Take spends one call of the budget for a job of a lane. It returns ErrSpent when there
// is none left for that lane.
func (l *Quota) Take(ctx context.Context, p pipeline.Priority) error {
	if l.limit == 0 {
		return nil
	}
	for {
		if l.spendBlock(p) {
			return nil
		}
		if err := l.reserveBlock(ctx, p); !errors.Is(err, pipeline.ErrConflict) {
			if err != nil {
				return err
			}
		}
	}
}

// spendBlock takes from what is reserved already.
func (l *Quota) spendBlock(p pipeline.Priority) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(pipeline.Day(l.now()))
	switch {
	case p == pipeline.Urgent && l.urgent > 0:
		l.urgent--
	case l.common > 0:
		l.common--
	default:
		return false
	}
	return true
}

// Refund gives back what Take took for a call that the service did not count. Once the day's budget
// has run out, others of the fleet may be parked for want of it: then it goes back to the store.
func (l *Quota) Refund(ctx context.Context, p pipeline.Priority) {
	if l.limit == 0 {
		return
	}

	l.mu.Lock()
	l.turn(pipeline.Day(l.now()))
	if p == pipeline.Urgent {
		l.urgent++
	} else {
		l.common++
	}
	ranOut := l.left(l.seen, pipeline.Bulk) == 0
	l.mu.Unlock()

	if ranOut {
		l.Release(ctx)
	}
}

// WatchReturns calls returned whenever a part of today's budget came back, until ctx ends. It may
// call too often.
func (l *Quota) WatchReturns(ctx context.Context, returned func()) error {
	if l.limit == 0 {
		<-ctx.Done()
		return ctx.Err()
	}

	used := map[string]int{} // by day

	return l.store.follow(ctx, "quota."+string(l.budget)+".>", func(e jetstream.KeyValueEntry) {
		var s spent
		if json.Unmarshal(e.Value(), &s) != nil {
			return
		}
		if before, known := used[e.Key()]; known && s.Used < before {
			returned()
		}
		used[e.Key()] = s.Used
	})
}

// turn forgets what was reserved on another day. The caller holds mu.
func (l *Quota) turn(day string) {
	if l.day != day {
		l.day, l.common, l.urgent, l.seen = day, 0, 0, 0
	}
}

// left is how much a lane may still reserve when used is gone.
func (l *Quota) left(used int, p pipeline.Priority) int {
	n := l.limit - used
	if p != pipeline.Urgent {
		n -= l.reserve
	}
	return max(n, 0)
}

func (l *Quota) reserveBlock(ctx context.Context, p pipeline.Priority) error {
	day := pipeline.Day(l.now())
	s, rev, err := Get[spent](ctx, l.store, l.key(day))
	if err != nil {
		return err
	}
	left := l.left(s.Used, p)
	if left == 0 {
		l.mu.Lock()
		l.seen = s.Used
		l.mu.Unlock()
		return fmt.Errorf("%w: %d of %d %s", ErrSpent, s.Used, l.limit, l.budget)
	}
	n := min(max(left/50, 1), 20)
	s.Used += n
	if _, err := l.store.Save(ctx, l.key(day), s, rev); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	if p == pipeline.Urgent {
		l.urgent += n
	} else {
		l.common += n
	}
	l.seen = s.Used
	return nil
}

// Available reports whether a lane could take from the budget now, without taking.
func (l *Quota) Available(ctx context.Context, p pipeline.Priority) (bool, error) {
	if l.limit == 0 {
		return true, nil
	}
	day := pipeline.Day(l.now())
	l.mu.Lock()
	l.turn(day)
	inHand := l.common > 0 || (p == pipeline.Urgent && l.urgent > 0)
	l.mu.Unlock()
	if inHand {
		return true, nil
	}
	s, _, err := Get[spent](ctx, l.store, l.key(day))
	if err != nil {
		return false, err
	}
	return l.left(s.Used, p) > 0, nil
}

// Release returns the unspent block, at the end of a process.
func (l *Quota) Release(ctx context.Context) {
	l.mu.Lock()
	day, n := l.day, l.common+l.urgent
	l.common, l.urgent = 0, 0
	l.mu.Unlock()
	for n > 0 {
		s, rev, err := Get[spent](ctx, l.store, l.key(day))
		if err != nil || rev == 0 {
			return
		}
		s.Used = max(s.Used-n, 0)
		if _, err = l.store.Save(ctx, l.key(day), s, rev); !errors.Is(err, pipeline.ErrConflict) {
			return
		}
	}
}

// Used is the fleet's count today, as far as it is known without asking.
func (l *Quota) Used() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(pipeline.Day(l.now()))
	return l.seen - l.common - l.urgent
}

// BudgetStatus is one budget as an operator sees it.
type BudgetStatus struct {
	Used       int       `json:"used"`  // what workers have set aside included
	Limit      int       `json:"limit"` // 0: unlimited, and not counted
	ResetsAt   time.Time `json:"resets_at"`
	LastsUntil time.Time `json:"lasts_until,omitzero"` // at today's pace; absent where it outlasts the day
}

// StatusOf reads the count of a budget, and forecasts when it will be used up at the
// pace of the day so far.
func StatusOf(ctx context.Context, store *Store, b pipeline.Budget, limit int, now time.Time) (BudgetStatus, error) {
	now = now.UTC()
	y, m, d := now.Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	st := BudgetStatus{Limit: limit, ResetsAt: start.AddDate(0, 0, 1)}
	s, _, err := Get[spent](ctx, store, quotaKey(b, now))
	if err != nil {
		return st, err
	}
	st.Used = s.Used
	if limit == 0 || s.Used == 0 {
		return st, nil
	}
	if s.Used >= limit {
		st.LastsUntil = now
		return st, nil
	}
	pace := float64(s.Used) / now.Sub(start).Seconds()
	if end := now.Add(time.Duration(float64(limit-s.Used) / pace * float64(time.Second))); end.Before(st.ResetsAt) {
		st.LastsUntil = end
	}
	return st, nil
}

// Charge counts calls that were made outside the pipeline, by a person at a terminal, so
// that the fleet's ledger stays true. It refuses nothing: the calls were made.
func Charge(ctx context.Context, store *Store, b pipeline.Budget, calls int, now time.Time) error {
	key := quotaKey(b, now)
	for {
		s, rev, err := Get[spent](ctx, store, key)
		if err != nil {
			return err
		}
		s.Used += calls
		if _, err = store.Save(ctx, key, s, rev); !errors.Is(err, pipeline.ErrConflict) {
			return err
		}
	}
}

// Limit is the budget a day; 0 is unlimited.
func (l *Quota) Limit() int { return l.limit }
