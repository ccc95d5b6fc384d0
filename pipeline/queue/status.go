package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

// LaneStatus is a lane as an operator sees it.
type LaneStatus struct {
	Waiting uint64    `json:"waiting"` // in JOBS, in hand included
	InHand  int       `json:"in_hand"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest of them was handed in
}

// Status is the state of the fleet.
type Status struct {
	Time    time.Time                        `json:"time"`
	Paused  map[pipeline.Budget]fleet.Pause  `json:"paused"`
	Lanes   map[pipeline.Priority]LaneStatus `json:"lanes"`
	Uploads fleet.BudgetStatus               `json:"uploads"`
	Queries fleet.BudgetStatus               `json:"queries"`
	Workers []fleet.Member                   `json:"workers"`
	Waiting uint64                           `json:"waiting"` // jobs of Pending and Parked
	Pending WaitStatus                       `json:"pending"` // jobs whose sample is at WildFire, or being uploaded
	Parked  WaitStatus                       `json:"parked"`  // jobs that wait for a budget, or for the end of a pause
	Dead    map[string]uint64                `json:"dead"`    // dead letters by reason
}

// WaitStatus is jobs that wait, as an operator sees them.
type WaitStatus struct {
	Jobs   int       `json:"jobs"`
	Oldest time.Time `json:"oldest,omitzero"` // since when the first of them waits
	Reason string    `json:"reason,omitempty"`
}

// Status asks the server for the state of the fleet. cfg tells the limits of the budgets.
func (q *Queue) Status(ctx context.Context, cfg pipeline.Config) (Status, error) {
	now := time.Now().UTC()
	st := Status{Time: now, Paused: map[pipeline.Budget]fleet.Pause{}, Lanes: map[pipeline.Priority]LaneStatus{}, Dead: map[string]uint64{}}
	inHand, err := q.inHand(ctx)
	if err != nil {
		return st, err
	}
	for _, p := range pipeline.Priorities() {
		lane, err := q.laneStatus(ctx, p, inHand[p])
		if err != nil {
			return st, err
		}
		st.Lanes[p] = lane
	}
	control := q.Control()
	for _, b := range pipeline.Budgets() {
		p, err := fleet.PauseOf(ctx, control, b, now)
		if err != nil {
			return st, err
		}
		if p.Reason != "" {
			st.Paused[b] = p
		}
	}
	if st.Uploads, err = fleet.StatusOf(ctx, control, pipeline.Uploads, cfg.UploadsPerDay, now); err != nil {
		return st, err
	}
	if st.Queries, err = fleet.StatusOf(ctx, control, pipeline.Queries, cfg.QueriesPerDay, now); err != nil {
		return st, err
	}
	if st.Workers, err = fleet.Members(ctx, control); err != nil {
		return st, err
	}
	if st.Pending, st.Parked, err = q.waiting(ctx); err != nil {
		return st, err
	}
	st.Waiting = uint64(st.Pending.Jobs + st.Parked.Jobs) //nolint:gosec // counts
	if st.Parked.Jobs > 0 {
		st.Parked.Reason = parkedFor(st)
	}
	st.Dead, err = q.deadByReason(ctx)
	return st, err
}

// inHand counts the jobs of every lane that workers hold, or that come again after a while.
func (q *Queue) inHand(ctx context.Context) (map[pipeline.Priority]int, error) {
	out := map[pipeline.Priority]int{}
	consumers := q.jobs.ListConsumers(ctx)
	for c := range consumers.Info() {
		for _, p := range pipeline.Priorities() {
			if strings.HasPrefix(c.Name, LaneConsumerPrefix(p)) {
				out[p] += c.NumAckPending
			}
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", q.JobsStream(), err)
	}
	return out, nil
}

func (q *Queue) laneStatus(ctx context.Context, p pipeline.Priority, inHand int) (LaneStatus, error) {
	var st LaneStatus
	filter := q.prefix + ".*." + string(p) + ".*"
	info, err := q.jobs.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return st, fmt.Errorf("stream %s: %w", q.JobsStream(), err)
	}
	for _, n := range info.State.Subjects {
		st.Waiting += n
	}
	if st.Waiting == 0 {
		return st, nil
	}
	st.InHand = inHand
	m, err := q.jobs.GetMsg(ctx, info.State.FirstSeq, jetstream.WithGetMsgSubject(filter))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return st, nil
	}
	if err != nil {
		return st, fmt.Errorf("oldest job of lane %s: %w", p, err)
	}
	st.Oldest = m.Time
	return st, nil
}

// deadByReason counts the dead letters.
func (q *Queue) deadByReason(ctx context.Context) (map[string]uint64, error) {
	info, err := q.dead.Info(ctx, jetstream.WithSubjectFilter(q.prefix+".dead.>"))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", q.DeadStream(), err)
	}
	out := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		if t := strings.Split(subject, "."); len(t) >= 4 {
			out[t[len(t)-2]] += n
		}
	}
	return out, nil
}

// parkedFor says what parked jobs wait for.
func parkedFor(st Status) string {
	for _, b := range pipeline.Budgets() {
		if p, on := st.Paused[b]; on {
			return fmt.Sprintf("%s stop until %s: %s", b, p.Until.Format(time.RFC3339), p.Reason)
		}
	}
	for b, s := range map[pipeline.Budget]fleet.BudgetStatus{pipeline.Uploads: st.Uploads, pipeline.Queries: st.Queries} {
		if s.Limit > 0 && s.Used >= s.Limit {
			return fmt.Sprintf("today's %s are used up; they come back at %s", b, s.ResetsAt.Format(time.RFC3339))
		}
	}

	return "budget: what is left of it is reserved for urgent jobs, or goes to others first"
}

// Waiters is what the leader answers on Names.WaitingSubject.
type Waiters struct {
	Pending WaitStatus `json:"pending"`
	Parked  WaitStatus `json:"parked"`
}

// waiting asks the leader what waits, since it knows; where none answers, the ledger is read.
func (q *Queue) waiting(ctx context.Context) (pending, parked WaitStatus, err error) {
	actx, cancel := context.WithTimeout(ctx, leaderAnswers)
	defer cancel()

	var w Waiters
	m, err := q.nc.RequestWithContext(actx, q.WaitingSubject(), nil)
	if err == nil && json.Unmarshal(m.Data, &w) == nil {
		return w.Pending, w.Parked, nil
	}

	err = q.readJobs(ctx, func(r JobRecord) bool {
		if r.State == JobWaiting {
			w.Note(r)
		}
		return true
	})

	return w.Pending, w.Parked, err
}

// leaderAnswers is how long a leader is waited for.
const leaderAnswers = 500 * time.Millisecond

// Note counts a job that waits.
func (w *Waiters) Note(r JobRecord) {
	s := &w.Pending
	if r.Parked != "" {
		s = &w.Parked
	}
	s.Jobs++
	if s.Oldest.IsZero() || r.Time.Before(s.Oldest) {
		s.Oldest = r.Time
	}
}

// Ready reports whether what work needs can be written: JetStream takes a record of the ledger, and
// a job's stream has room.
func (q *Queue) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()

	c := q.PutSample(SampleEntry{Key: "ready"})
	delete(c.msg.Header, headerExpect)
	if err := q.Commit(ctx, c); err != nil {
		return fmt.Errorf("the ledger can't be written: %w", err)
	}
	info, err := q.jobs.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", q.JobsStream(), err)
	}
	if max := info.Config.MaxBytes; max > 0 && info.State.Bytes >= uint64(max) {
		return fmt.Errorf("%w: stream %s has its %d bytes", pipeline.ErrFull, q.JobsStream(), max)
	}

	return nil
}
