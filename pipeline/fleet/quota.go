package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"backburn/pipeline"
)

// Quota keeps the fleet's count of a daily budget in the store. A process first counts a small
// block of calls by compare-and-set, and then makes those calls without another write. If it dies,
// the rest of its block stays counted. A new count begins at 00:00 UTC.
type Quota struct {
	store  *Store
	budget pipeline.Budget
	now    func() time.Time

	mu           sync.Mutex
	limit        int // a day; 0: unlimited
	reserve      int // of limit, kept for urgent jobs
	day          string
	reservations map[string]*reservation // by source
	yesterday    map[string]int          // use by each source on the day before
	lastCount    int                     // the fleet's count when this process last read it
}

// reservation is what this process has counted in the store for a source, and not spent yet.
type reservation struct {
	common int // for any job
	urgent int // may come from the reserve: only for urgent jobs
}

// ErrSpent says that today's budget is used up. An error of Take also matches it if calls are left,
// but not for this source or this priority; the text of the error says why.
var ErrSpent = errors.New("today's budget is used up")

// spentError says why Take refuses a call.
type spentError string

func (e spentError) Error() string        { return string(e) }
func (e spentError) Is(target error) bool { return target == ErrSpent }

// whySpent returns the error of Take if s allows no call.
func whySpent(b pipeline.Budget, s pipeline.Spending, account string, p pipeline.Priority) error {
	switch {
	case s.Used >= s.Limit:
		return spentError(fmt.Sprintf("today's budget of %s is used up: %d of %d", b, s.Used, s.Limit))
	case p != pipeline.Urgent && s.Used >= s.Limit-s.Reserve:
		return spentError(fmt.Sprintf("the rest of today's budget of %s is reserved for urgent jobs: %d of %d are used", b, s.Used, s.Limit))
	}

	return spentError(fmt.Sprintf("the share of %s in today's budget of %s is used up: %s used %d of all %d", account, b, account, s.UsedBy[account], s.Limit))
}

// dayCount is the count of one day, as stored.
type dayCount struct {
	Used  int              `json:"used"`
	By    map[string]int   `json:"by,omitempty"`    // of Used, by source
	Asked map[string]int64 `json:"asked,omitempty"` // when a source last wanted more, in seconds since 1970

	// Returned identifies the last call of Release that wrote this count. If the server's answer to
	// that write is lost, Release finds its own name here, and does not return the calls twice,
	// unless another process has called Release in between.
	Returned string `json:"returned,omitempty"`
}

const (
	// How long a source counts as wanting more after its last request for more.
	demandPeriod = 10 * time.Minute

	// The number of sources that are counted separately. All others together count as one source.
	maxSpenders = 200
	others      = "*" // the account of those others
)

// account is the name under which a source's calls are counted.
func (s *dayCount) account(source string) string {
	if source == "" {
		return ""
	}
	_, known := s.By[source]
	if _, asked := s.Asked[source]; !known && !asked && max(len(s.By), len(s.Asked)) >= maxSpenders {
		return others
	}

	return source
}

// add counts n calls of a source. If n is negative, it takes them off the count.
func (s *dayCount) add(source string, n int) {
	s.Used = max(s.Used+n, 0)
	if source == "" {
		return
	}
	if s.By == nil {
		s.By = map[string]int{}
	}
	s.By[source] = max(s.By[source]+n, 0)
}

// NewQuota returns a budget with a number of calls per day, of which a part is reserved for urgent
// jobs; 0 is unlimited and counts nothing.
func NewQuota(store *Store, b pipeline.Budget, perDay, reservePercent int, now func() time.Time) *Quota {
	return &Quota{
		store:        store,
		budget:       b,
		now:          now,
		limit:        perDay,
		reserve:      perDay * reservePercent / 100,
		reservations: map[string]*reservation{},
	}
}

// SetLimit replaces the limit and the reserve for urgent jobs that NewQuota set. This process keeps
// its reservations; call Release as well if the new limit is to apply at once.
func (q *Quota) SetLimit(perDay, reservePercent int) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.limit = perDay
	q.reserve = perDay * reservePercent / 100
}

// Limit returns the budget per day; 0 is unlimited.
func (q *Quota) Limit() int {
	q.mu.Lock()
	defer q.mu.Unlock()

	return q.limit
}

func quotaKey(b pipeline.Budget, t time.Time) string {
	return "quota." + string(b) + "." + pipeline.Day(t)
}

func (q *Quota) key(day string) string { return "quota." + string(q.budget) + "." + day }

// Take spends one call of the budget for a job of a source; "" is for a call that serves all
// sources. Its error matches ErrSpent if no call is left for jobs of that priority, or if the
// source has used its share and other sources want theirs, or may want theirs later (see
// pipeline.Spending).
func (q *Quota) Take(ctx context.Context, source string, p pipeline.Priority) error {
	for {
		if q.Limit() == 0 {
			return nil
		}
		if q.spendReservation(source, p) {
			return nil
		}
		if err := q.reserveBlock(ctx, source, p); !errors.Is(err, pipeline.ErrConflict) {
			if err != nil {
				return err
			}
		}
	}
}

// spendReservation takes one call from this process's reservation for the source. It returns false
// if none is left there for jobs of the priority.
func (q *Quota) spendReservation(source string, p pipeline.Priority) bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	r := q.reservation(source)
	switch {
	case p == pipeline.Urgent && r.urgent > 0:
		r.urgent--
	case r.common > 0:
		r.common--
	default:
		return false
	}

	return true
}

// reservation returns today's reservation for a source. The caller holds mu.
func (q *Quota) reservation(source string) *reservation {
	q.startDay(pipeline.Day(q.now()))
	r := q.reservations[source]
	if r == nil {
		r = &reservation{}
		q.reservations[source] = r
	}

	return r
}

// Refund gives back a call that Take spent at the given time and WildFire did not count. The call
// normally stays in this process's reservation. Once nothing but the reserve is left of the day's
// budget, other workers may have parked jobs for lack of it, so Refund then calls Release. A call
// of another day is lost, because the budget was renewed since.
func (q *Quota) Refund(ctx context.Context, taken time.Time, source string, p pipeline.Priority) {
	q.mu.Lock()
	r := q.reservation(source)
	if q.limit == 0 || q.day != pipeline.Day(taken) {
		q.mu.Unlock()
		return
	}
	if p == pipeline.Urgent {
		r.urgent++
	} else {
		r.common++
	}
	ranOut := q.limit-q.reserve-q.lastCount <= 0
	q.mu.Unlock()

	if ranOut {
		q.Release(ctx)
	}
}

// WatchReturns calls notify after a process has returned calls to the store, until ctx ends. While
// the budget has no limit, Take reserves no calls that could be returned.
func (q *Quota) WatchReturns(ctx context.Context, notify func()) error {
	used := map[string]int{} // by day

	return q.store.follow(ctx, "quota."+string(q.budget)+".>", func(e jetstream.KeyValueEntry) {
		var s dayCount
		if json.Unmarshal(e.Value(), &s) != nil {
			return
		}
		if before, known := used[e.Key()]; known && s.Used < before {
			notify()
		}
		used[e.Key()] = s.Used
	})
}

// startDay forgets what belongs to another day. The caller holds mu.
func (q *Quota) startDay(day string) {
	if q.day != day {
		q.day = day
		q.reservations = map[string]*reservation{}
		q.yesterday = nil
		q.lastCount = 0
	}
}

// spending reads today's count from the store. It returns the count and its revision, and the same
// count as a pipeline.Spending, which decides who may spend more.
func (q *Quota) spending(ctx context.Context) (s dayCount, rev uint64, spending pipeline.Spending, err error) {
	now := q.now().UTC()
	day := pipeline.Day(now)
	if s, rev, err = Get[dayCount](ctx, q.store, q.key(day)); err != nil {
		return s, rev, spending, err
	}

	q.mu.Lock()
	q.startDay(day)
	yesterday := q.yesterday
	limit, reserve := q.limit, q.reserve
	q.lastCount = s.Used
	q.mu.Unlock()
	if yesterday == nil {
		before, _, err := Get[dayCount](ctx, q.store, quotaKey(q.budget, now.AddDate(0, 0, -1)))
		if err != nil {
			return s, rev, spending, err
		}
		yesterday = before.By
		if yesterday == nil {
			yesterday = map[string]int{}
		}
		q.mu.Lock()
		q.yesterday = yesterday
		q.mu.Unlock()
	}

	asking := map[string]int{}
	for source, at := range s.Asked {
		if now.Unix()-at < int64(demandPeriod/time.Second) {
			asking[source] = 1
		}
	}

	return s, rev, pipeline.Spending{
		Limit:     limit,
		Reserve:   reserve,
		Used:      s.Used,
		UsedBy:    s.By,
		Asking:    asking,
		Yesterday: yesterday,
		DayLeft:   pipeline.LeftOfDay(now),
	}, nil
}

// reserveBlock adds calls to this process's reservation for a source, and counts them in the store.
// After pipeline.ErrConflict the caller has to try again.
func (q *Quota) reserveBlock(ctx context.Context, source string, p pipeline.Priority) error {
	s, rev, spending, err := q.spending(ctx)
	if err != nil {
		return err
	}

	day := pipeline.Day(q.now())
	account := s.account(source)
	left := spending.Allowance(account, p)
	if left == 0 && !s.recordDemand(account, q.now()) {
		return whySpent(q.budget, spending, account, p)
	}

	n := 0
	if left > 0 {
		// A block is 1 to 20 calls: fewer if less of the budget is left, or if more sources use it.
		n = min(max(left/(50*max(len(s.By), 1)), 1), 20)
		s.add(account, n)
		s.recordDemand(account, q.now())
	}
	if _, err := q.store.Save(ctx, q.key(day), s, rev); err != nil {
		return err
	}
	if n == 0 {
		return pipeline.ErrConflict // the store now says that the source wants more: try again
	}

	q.mu.Lock()
	defer q.mu.Unlock()

	q.startDay(day)
	r := q.reservation(source)
	if p == pipeline.Urgent {
		r.urgent += n
	} else {
		r.common += n
	}
	q.lastCount = s.Used

	return nil
}

// recordDemand records that a source wants more. It reports whether the record has changed and
// should be stored for the other processes.
func (s *dayCount) recordDemand(source string, now time.Time) bool {
	if source == "" || now.Unix()-s.Asked[source] < int64(demandPeriod/time.Second)/2 {
		return false
	}
	if s.Asked == nil {
		s.Asked = map[string]int64{}
	}
	s.Asked[source] = now.Unix()

	return true
}

// Available reports whether Take would spend a call now. Another caller may take that call first. A
// call that another process has reserved counts as spent.
func (q *Quota) Available(ctx context.Context, source string, p pipeline.Priority) (bool, error) {
	q.mu.Lock()
	if q.limit == 0 {
		q.mu.Unlock()
		return true, nil
	}
	r := q.reservation(source)
	reserved := r.common > 0 || (p == pipeline.Urgent && r.urgent > 0)
	q.mu.Unlock()
	if reserved {
		return true, nil
	}

	s, _, spending, err := q.spending(ctx)
	if err != nil {
		return false, err
	}

	return spending.Allowance(s.account(source), p) > 0, nil
}

// Spare returns how much of today's budget is not expected to be needed (see
// pipeline.Spending.Spare). For a budget without a limit it returns a very large number.
func (q *Quota) Spare(ctx context.Context) (int, error) {
	if q.Limit() == 0 {
		return math.MaxInt, nil
	}
	_, _, spending, err := q.spending(ctx)
	if err != nil {
		return 0, err
	}

	return spending.Spare(), nil
}

// Release returns this process's reservations to the store, so that other processes can use them.
// If the store cannot be read, this process keeps them. After an error of the write, nobody uses
// them.
func (q *Quota) Release(ctx context.Context) {
	q.mu.Lock()
	day := q.day
	back := q.reservations
	q.reservations = map[string]*reservation{}
	q.mu.Unlock()
	maps.DeleteFunc(back, func(_ string, r *reservation) bool { return r.common+r.urgent == 0 })

	for name := nuid.Next(); len(back) > 0; {
		s, rev, err := Get[dayCount](ctx, q.store, q.key(day))
		if err != nil {
			q.keep(day, back)
			return
		}
		if rev == 0 || s.Returned == name { // the second: an earlier write succeeded, and its answer was lost
			return
		}

		s.Returned = name
		for source, r := range back {
			s.add(s.account(source), -r.common-r.urgent)
		}
		if _, err = q.store.Save(ctx, q.key(day), s, rev); !errors.Is(err, pipeline.ErrConflict) {
			return
		}
	}
}

// keep adds reservations of a day that could not be returned to those that this process has.
func (q *Quota) keep(day string, back map[string]*reservation) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if q.day != day {
		return
	}
	for source, kept := range back {
		r := q.reservation(source)
		r.common += kept.common
		r.urgent += kept.urgent
	}
}

// Used returns the fleet's last known count for today, less the calls that this process has
// reserved and not made. It makes no request.
func (q *Quota) Used() int {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.startDay(pipeline.Day(q.now()))
	n := q.lastCount
	for _, r := range q.reservations {
		n -= r.common + r.urgent
	}

	return n
}

// BudgetStatus is one budget as an operator sees it.
type BudgetStatus struct {
	Used       int       `json:"used"`  // including the reservations of workers
	Limit      int       `json:"limit"` // 0: unlimited; then only Charge adds to Used
	ResetsAt   time.Time `json:"resets_at"`
	Spent      bool      `json:"spent"`                // nothing is left until the reset
	LastsUntil time.Time `json:"lasts_until,omitzero"` // when the budget will be used up at today's pace; absent if it outlasts the day or is spent

	By map[string]int `json:"by,omitempty"` // of Used, by source; "*" for those beyond the first 200
}

// BudgetStatusOf reads today's count of a budget, and forecasts when the budget will be used up at
// today's pace.
func BudgetStatusOf(ctx context.Context, store *Store, b pipeline.Budget, limit int, now time.Time) (BudgetStatus, error) {
	now = now.UTC()
	y, m, d := now.Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	st := BudgetStatus{Limit: limit, ResetsAt: start.AddDate(0, 0, 1)}
	s, _, err := Get[dayCount](ctx, store, quotaKey(b, now))
	if err != nil {
		return st, err
	}
	st.Used = s.Used
	st.By = s.By
	if limit == 0 || s.Used == 0 {
		return st, nil
	}
	if s.Used >= limit {
		st.Spent = true
		return st, nil
	}
	pace := float64(s.Used) / now.Sub(start).Seconds()
	if end := now.Add(time.Duration(float64(limit-s.Used) / pace * float64(time.Second))); end.Before(st.ResetsAt) {
		st.LastsUntil = end
	}
	return st, nil
}

// Charge counts calls that were made outside the pipeline, by a person at a terminal, so that the
// fleet's count stays correct. It never fails for lack of budget, because the calls have already
// been made.
func Charge(ctx context.Context, store *Store, b pipeline.Budget, calls int, now time.Time) error {
	key := quotaKey(b, now)
	for {
		s, rev, err := Get[dayCount](ctx, store, key)
		if err != nil {
			return err
		}
		s.Used += calls
		if _, err = store.Save(ctx, key, s, rev); !errors.Is(err, pipeline.ErrConflict) {
			return err
		}
	}
}
