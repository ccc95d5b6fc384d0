package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// ledger keeps the fleet's count of one day's budget in the control bucket. A process
// reserves a small block by compare-and-set and spends it without another write, so
// the count is never below what was really spent, and above it by no more than the blocks in hand.
// The day ends at 00:00 UTC.
type ledger struct {
	q       *Queue
	budget  Budget
	limit   int // a day; 0: unlimited
	reserve int // of limit, kept for urgent jobs
	now     func() time.Time

	mu     sync.Mutex
	day    string
	common int // reserved by us and unspent, for any job
	urgent int // likewise, and perhaps out of the reserve: for urgent jobs alone
	seen   int // the fleet's count when we last read it
}

// errSpent says that today's budget, or what of it is not reserved, is used up.
var errSpent = errors.New("today's budget is used up")

// spent is the value of a day's key.
type spent struct {
	Used int `json:"used"`
}

func newLedger(q *Queue, b Budget, perDay, reservePercent int) *ledger {
	return &ledger{q: q, budget: b, limit: perDay, reserve: perDay * reservePercent / 100, now: time.Now}
}

func (l *ledger) key(day string) string { return "quota." + string(l.budget) + "." + day }

func dayOf(t time.Time) string { return t.UTC().Format("2006-01-02") }

// resetAfter is the instant at which the budgets of t's day come back, and a little more:
// the service's own clock decides, and every worker of the world calls at midnight.
func resetAfter(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d+1, 0, 1, 0, 0, time.UTC).Add(rand.N(30 * time.Second))
}

// take spends one call of the budget for a job of a lane. It returns errSpent when there
// is none left for that lane.
func (l *ledger) take(ctx context.Context, p Priority) error {
	if l.limit == 0 {
		return nil
	}
	for {
		if l.spendBlock(p) {
			return nil
		}
		if err := l.reserveBlock(ctx, p); !errors.Is(err, errConflict) {
			if err != nil {
				return err
			}
		}
	}
}

// spendBlock takes from what is reserved already.
func (l *ledger) spendBlock(p Priority) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(dayOf(l.now()))
	switch {
	case p == Urgent && l.urgent > 0:
		l.urgent--
	case l.common > 0:
		l.common--
	default:
		return false
	}
	return true
}

// refund gives back what take took for a call that the service did not count.
func (l *ledger) refund(p Priority) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(dayOf(l.now()))
	switch {
	case l.limit == 0:
	case p == Urgent:
		l.urgent++
	default:
		l.common++
	}
}

// turn forgets what was reserved on another day. The caller holds mu.
func (l *ledger) turn(day string) {
	if l.day != day {
		l.day, l.common, l.urgent, l.seen = day, 0, 0, 0
	}
}

// left is how much a lane may still reserve when used is gone.
func (l *ledger) left(used int, p Priority) int {
	n := l.limit - used
	if p != Urgent {
		n -= l.reserve
	}
	return max(n, 0)
}

func (l *ledger) reserveBlock(ctx context.Context, p Priority) error {
	day := dayOf(l.now())
	s, rev, err := control[spent](ctx, l.q, l.key(day))
	if err != nil {
		return err
	}
	left := l.left(s.Used, p)
	if left == 0 {
		l.mu.Lock()
		l.seen = s.Used
		l.mu.Unlock()
		return fmt.Errorf("%w: %d of %d %s", errSpent, s.Used, l.limit, l.budget)
	}
	n := min(max(left/50, 1), 20)
	s.Used += n
	if _, err := l.q.save(ctx, l.q.control, l.key(day), s, rev); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	if p == Urgent {
		l.urgent += n
	} else {
		l.common += n
	}
	l.seen = s.Used
	return nil
}

// available reports whether a lane could take from the budget now, without taking.
func (l *ledger) available(ctx context.Context, p Priority) (bool, error) {
	if l.limit == 0 {
		return true, nil
	}
	day := dayOf(l.now())
	l.mu.Lock()
	l.turn(day)
	inHand := l.common > 0 || (p == Urgent && l.urgent > 0)
	l.mu.Unlock()
	if inHand {
		return true, nil
	}
	s, _, err := control[spent](ctx, l.q, l.key(day))
	if err != nil {
		return false, err
	}
	return l.left(s.Used, p) > 0, nil
}

// giveBack returns the unspent block, at the end of a process.
func (l *ledger) giveBack(ctx context.Context) {
	l.mu.Lock()
	day, n := l.day, l.common+l.urgent
	l.common, l.urgent = 0, 0
	l.mu.Unlock()
	for n > 0 {
		s, rev, err := control[spent](ctx, l.q, l.key(day))
		if err != nil || rev == 0 {
			return
		}
		s.Used = max(s.Used-n, 0)
		if _, err = l.q.save(ctx, l.q.control, l.key(day), s, rev); !errors.Is(err, errConflict) {
			return
		}
	}
}

// used is the fleet's count today, as far as it is known without asking.
func (l *ledger) used() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(dayOf(l.now()))
	return l.seen - l.common - l.urgent
}

// BudgetStatus is one budget as an operator sees it.
type BudgetStatus struct {
	Used       int       `json:"used"`  // what workers have set aside included
	Limit      int       `json:"limit"` // 0: unlimited, and not counted
	ResetsAt   time.Time `json:"resets_at"`
	LastsUntil time.Time `json:"lasts_until,omitzero"` // at today's pace; absent where it outlasts the day
}

// budgetStatus reads the ledger of a budget, and forecasts when it will be used up at the
// pace of the day so far.
func (q *Queue) budgetStatus(ctx context.Context, b Budget, limit int, now time.Time) (BudgetStatus, error) {
	now = now.UTC()
	y, m, d := now.Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	st := BudgetStatus{Limit: limit, ResetsAt: start.AddDate(0, 0, 1)}
	s, _, err := control[spent](ctx, q, "quota."+string(b)+"."+dayOf(now))
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
func (q *Queue) Charge(ctx context.Context, b Budget, calls int) error {
	key := "quota." + string(b) + "." + dayOf(time.Now())
	for {
		s, rev, err := control[spent](ctx, q, key)
		if err != nil {
			return err
		}
		s.Used += calls
		if _, err = q.save(ctx, q.control, key, s, rev); !errors.Is(err, errConflict) {
			return err
		}
	}
}
