package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/results"
)

// LaneStatus is a lane as an operator sees it.
type LaneStatus struct {
	Queued uint64    `json:"waiting"`         // jobs in JOBS, including those that workers hold
	Held   int       `json:"held"`            // jobs that workers hold, or that will be redelivered after a delay
	Oldest time.Time `json:"oldest,omitzero"` // when JOBS stored the oldest job of Queued

	By map[string]int `json:"by,omitempty"` // of Queued, by source; "*" for all except the 200 with the most jobs
}

// Status is the state of the fleet.
type Status struct {
	Time time.Time `json:"time"`

	// Simulated says that WildFire is simulated.
	Simulated bool `json:"simulated,omitempty"`

	Paused  map[pipeline.Budget]fleet.Pause  `json:"paused"`
	Lanes   map[pipeline.Priority]LaneStatus `json:"lanes"`
	Uploads fleet.BudgetStatus               `json:"uploads"`
	Queries fleet.BudgetStatus               `json:"queries"`
	Members []fleet.Member                   `json:"members"` // live processes, and dead ones that no other process has replaced
	Queued  WaitStatus                       `json:"queued"`  // jobs in JOBS, of all lanes
	Pending WaitStatus                       `json:"pending"` // jobs whose sample is at WildFire, or being uploaded
	Parked  WaitStatus                       `json:"parked"`  // jobs that wait for a budget or the end of a pause
	Dead    map[string]uint64                `json:"dead"`    // dead letters by reason

	Reports *ReportsStatus `json:"reports,omitempty"` // nil if the leader fetches no reports or does not answer
}

// ReportsStatus says which reports still have to be fetched, for operators.
type ReportsStatus struct {
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"`  // since when the oldest of them is wanted
	Reason  string    `json:"reason,omitempty"` // why no report is fetched now
}

// WaitStatus describes waiting jobs, for operators.
type WaitStatus struct {
	Jobs   int       `json:"jobs"`
	Oldest time.Time `json:"oldest,omitzero"` // since when the oldest of them waits
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"` // when the wait ends, if known
}

// Workers returns the live workers.
func (s Status) Workers() []fleet.Member {
	return slices.DeleteFunc(slices.Clone(s.Members), func(m fleet.Member) bool { return !m.Works() })
}

// DeadLetters counts the dead letters of expected outcomes, and those that need a person.
func (s Status) DeadLetters() (expected, attention uint64) {
	for reason, n := range s.Dead {
		if results.Reason(reason).Expected() {
			expected += n
		} else {
			attention += n
		}
	}

	return expected, attention
}

// Status asks the server for the state of the fleet. cfg has the limits of the budgets.
func (q *Queue) Status(ctx context.Context, cfg pipeline.Config) (Status, error) {
	now := time.Now().UTC()
	st := Status{
		Time:      now,
		Simulated: q.streams.Simulated(),
		Paused:    map[pipeline.Budget]fleet.Pause{},
		Dead:      map[string]uint64{},
	}
	var err error
	if st.Lanes, err = q.lanes.status(ctx); err != nil {
		return st, err
	}
	for _, lane := range st.Lanes {
		st.Queued.Jobs += int(lane.Queued)
		if !lane.Oldest.IsZero() && (st.Queued.Oldest.IsZero() || lane.Oldest.Before(st.Queued.Oldest)) {
			st.Queued.Oldest = lane.Oldest
		}
	}

	for b, budget := range map[pipeline.Budget]struct {
		status *fleet.BudgetStatus
		perDay int
	}{
		pipeline.Uploads: {&st.Uploads, cfg.UploadsPerDay},
		pipeline.Queries: {&st.Queries, cfg.QueriesPerDay},
	} {
		if *budget.status, err = fleet.BudgetStatusOf(ctx, q.streams.control, b, budget.perDay, now); err != nil {
			return st, err
		}
		p, err := fleet.PauseOf(ctx, q.streams.control, b, now)
		if err != nil {
			return st, err
		}
		if p.Reason == "" {
			continue
		}
		st.Paused[b] = p
		if p.Spent { // WildFire said so, whatever our own count is
			budget.status.Spent = true
			budget.status.LastsUntil = time.Time{}
		}
	}

	if st.Members, err = fleet.Members(ctx, q.streams.control); err != nil {
		return st, err
	}
	waiters, err := q.waiting(ctx)
	if err != nil {
		return st, err
	}
	st.Pending = waiters.Pending
	st.Parked = waiters.Parked
	st.Reports = waiters.Reports
	if st.Parked.Jobs > 0 {
		if st.Parked.Reason, st.Parked.Until, err = q.parkedFor(ctx, st, cfg); err != nil {
			return st, err
		}
	}
	st.Dead, err = q.dead.byReason(ctx)
	return st, err
}

// held counts the jobs of every lane that workers hold or that wait for redelivery.
func (ls *Lanes) held(ctx context.Context) (map[pipeline.Priority]int, error) {
	consumers, err := ls.list(ctx)
	out := map[pipeline.Priority]int{}
	for _, c := range consumers {
		for _, p := range pipeline.Priorities() {
			if strings.HasPrefix(c.Name, LaneConsumerPrefix(p)) {
				out[p] += c.NumAckPending
			}
		}
	}

	return out, err
}

func (ls *Lanes) status(ctx context.Context) (map[pipeline.Priority]LaneStatus, error) {
	queued, oldest, err := ls.queued(ctx)
	if err != nil {
		return nil, err
	}
	held, err := ls.held(ctx)
	if err != nil {
		return nil, err
	}

	lanes := map[pipeline.Priority]LaneStatus{}
	for _, p := range pipeline.Priorities() {
		jobs, by := bySource(queued, p)
		if lanes[p] = (LaneStatus{}); jobs == 0 {
			continue
		}

		st := LaneStatus{Queued: jobs, Held: held[p], By: by}
		m, err := ls.streams.jobs.GetMsg(ctx, oldest, jetstream.WithGetMsgSubject(ls.streams.prefix+".*."+string(p)+".*"))
		switch {
		case err == nil:
			st.Oldest = m.Time
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, fmt.Errorf("oldest job of lane %s: %w", p, err)
		}
		lanes[p] = st
	}

	return lanes, nil
}

// maxListedSources is how many sources a status lists by name.
const maxListedSources = 200

func bySource(queued map[SourceLane]int, p pipeline.Priority) (all uint64, n map[string]int) {
	n = map[string]int{}
	for l, jobs := range queued {
		if l.Priority == p {
			n[l.Source] = jobs
			all += uint64(jobs)
		}
	}
	if len(n) <= maxListedSources {
		return all, n
	}

	least := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Compare(n[a], n[b]) })
	rest := 0
	for _, source := range least[:len(n)-maxListedSources] {
		rest += n[source]
		delete(n, source)
	}
	n["*"] += rest

	return all, n
}

func (d *DeadLetters) byReason(ctx context.Context) (map[string]uint64, error) {
	info, err := d.streams.dead.Info(ctx, jetstream.WithSubjectFilter(d.streams.prefix+".dead.>"))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", d.streams.DeadStream(), err)
	}
	out := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		if t := strings.Split(subject, "."); len(t) >= 4 {
			out[t[len(t)-2]] += n
		}
	}
	return out, nil
}

// parkedFor returns the first reason that it finds for parked jobs, and until when it holds.
func (q *Queue) parkedFor(ctx context.Context, st Status, cfg pipeline.Config) (reason string, until time.Time, err error) {
	for _, b := range pipeline.Budgets() {
		if p, on := st.Paused[b]; on {
			return string(b) + " are paused: " + p.Reason, p.Until, nil
		}
	}
	switch {
	case st.Uploads.Spent:
		return "today's uploads are used up", st.Uploads.ResetsAt, nil
	case st.Queries.Spent:
		return "today's queries are used up", st.Queries.ResetsAt, nil
	}

	var rules []string // those whose own uploads of the day are used up
	for _, budget := range cfg.RuleBudgets() {
		rule, err := fleet.BudgetStatusOf(ctx, q.streams.control, pipeline.Budget(budget.Key), budget.PerDay, st.Time)
		if err != nil {
			return "", time.Time{}, err
		}
		if rule.Spent {
			rules = append(rules, budget.Rule)
		}
	}
	if len(rules) > 0 {
		return "today's uploads by " + strings.Join(rules, " and ") + " are used up", st.Uploads.ResetsAt, nil
	}

	return "the rest of the budget is reserved for urgent jobs or for other sources", st.Uploads.ResetsAt, nil
}

// Waiters is what the leader answers on Names.WaitingSubject.
type Waiters struct {
	Pending WaitStatus `json:"pending"`
	Parked  WaitStatus `json:"parked"`

	Reports *ReportsStatus `json:"reports,omitempty"`
}

// waiting asks the leader about waiting jobs; if none answers, it reads the ledger.
func (q *Queue) waiting(ctx context.Context) (w Waiters, err error) {
	actx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()

	m, err := q.streams.js.Conn().RequestWithContext(actx, q.streams.WaitingSubject(), nil)
	if err == nil && json.Unmarshal(m.Data, &w) == nil {
		return w, nil
	}

	w = Waiters{}
	if q.ledger.NoRead {
		return w, nil
	}
	for r, err := range q.ledger.readJobs(ctx) {
		switch {
		case err != nil:
			return w, err
		case r.State == JobWaiting:
			w.Add(r)
		}
	}

	return w, nil
}

// leaderTimeout bounds the wait for the leader's answer.
const leaderTimeout = 500 * time.Millisecond

// Add counts a job that waits.
func (w *Waiters) Add(r JobHeader) {
	s := &w.Pending
	if r.Parked != "" {
		s = &w.Parked
	}
	s.Jobs++
	if s.Oldest.IsZero() || r.Time.Before(s.Oldest) {
		s.Oldest = r.Time
	}
}

// unknownLimit is the most jobs of a source that Unknown reads from JOBS.
const unknownLimit = 20_000

// Unknown returns those of the given jobs of a source that the queue does not know: they are
// neither queued nor waiting, and have no final event. A job that was accepted over HTTP and never
// reached the queue counts as unknown. If too many messages would have to be read, Unknown returns
// none. It searches JOBS before the ledger: jobs move in that order, so the search misses no job.
func (q *Queue) Unknown(ctx context.Context, source string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}

	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}
	n := 0
	for raw, err := range q.jobs.search(ctx, source) {
		if n++; err != nil || n > unknownLimit {
			return nil, err
		}
		m, _ := q.jobs.open(raw)
		if delete(missing, m.Job.ID); len(missing) == 0 {
			break
		}
	}

	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !missing[id] })

	return q.withoutRecord(ctx, source, left)
}

// withoutRecord returns the jobs that have no record in the ledger, or one that says only that they
// were accepted. It reads the records one by one: a watcher may only read those of its own sources,
// and the server checks that by the subject.
func (q *Queue) withoutRecord(ctx context.Context, source string, ids []string) ([]string, error) {
	var missing []string
	for _, id := range ids {
		m, err := q.streams.ledger.GetLastMsgForSubject(ctx, q.streams.JobRecordSubject(pipeline.Ref{Source: source, ID: id}))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			missing = append(missing, id)
		case err != nil:
			return nil, fmt.Errorf("read the ledger: %w", err)
		case JobState(m.Header.Get(headerState)) == JobAccepted:
			missing = append(missing, id)
		}
	}

	return missing, nil
}
