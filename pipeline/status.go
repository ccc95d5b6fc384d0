package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LaneStatus is a lane as an operator sees it.
type LaneStatus struct {
	Waiting uint64    `json:"waiting"` // in JOBS, in hand included
	InHand  int       `json:"in_hand"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest of them was handed in
}

// Status is the state of the fleet.
type Status struct {
	Time    time.Time               `json:"time"`
	Paused  map[Budget]Pause        `json:"paused"`
	Lanes   map[Priority]LaneStatus `json:"lanes"`
	Uploads BudgetStatus            `json:"uploads"`
	Queries BudgetStatus            `json:"queries"`
	Workers []Member                `json:"workers"`
	Waiting uint64                  `json:"waiting"` // jobs that wait for a verdict
	Dead    map[string]uint64       `json:"dead"`    // dead letters by reason
}

// Status asks the server for the state of the fleet. cfg tells the limits of the budgets.
func (q *Queue) Status(ctx context.Context, cfg Config) (Status, error) {
	now := time.Now().UTC()
	st := Status{Time: now, Paused: map[Budget]Pause{}, Lanes: map[Priority]LaneStatus{}, Dead: map[string]uint64{}}
	inHand, err := q.inHand(ctx)
	if err != nil {
		return st, err
	}
	for _, p := range Priorities() {
		lane, err := q.laneStatus(ctx, p, inHand[p])
		if err != nil {
			return st, err
		}
		st.Lanes[p] = lane
	}
	for _, b := range []Budget{Uploads, Queries} {
		p, _, err := control[Pause](ctx, q, pausePrefix+string(b))
		if err != nil {
			return st, err
		}
		if now.Before(p.Until) {
			st.Paused[b] = p
		}
	}
	if st.Uploads, err = q.budgetStatus(ctx, Uploads, cfg.UploadsPerDay, now); err != nil {
		return st, err
	}
	if st.Queries, err = q.budgetStatus(ctx, Queries, cfg.QueriesPerDay, now); err != nil {
		return st, err
	}
	if st.Workers, err = q.Members(ctx); err != nil {
		return st, err
	}
	info, err := q.waiting.Info(ctx)
	if err != nil {
		return st, fmt.Errorf("stream %s: %w", q.WaitingStream(), err)
	}
	st.Waiting = info.State.Msgs
	st.Dead, err = q.deadByReason(ctx)
	return st, err
}

// inHand counts the jobs of every lane that workers hold, or that come again after a while.
func (q *Queue) inHand(ctx context.Context) (map[Priority]int, error) {
	out := map[Priority]int{}
	consumers := q.jobs.ListConsumers(ctx)
	for c := range consumers.Info() {
		for _, p := range Priorities() {
			if strings.HasPrefix(c.Name, lanePrefix(p)) {
				out[p] += c.NumAckPending
			}
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", q.JobsStream(), err)
	}
	return out, nil
}

func (q *Queue) laneStatus(ctx context.Context, p Priority, inHand int) (LaneStatus, error) {
	var st LaneStatus
	filter := q.JobSubject(p, "*")
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

// Members returns the live workers, in the order in which they started.
func (q *Queue) Members(ctx context.Context) ([]Member, error) {
	keys, err := q.control.ListKeysFiltered(ctx, memberPrefix+">")
	if err != nil {
		return nil, fmt.Errorf("live workers: %w", err)
	}
	defer func() { _ = keys.Stop() }()
	members := []Member{}
	for key := range keys.Keys() {
		e, err := q.control.Get(ctx, key)
		var m Member
		if err == nil && json.Unmarshal(e.Value(), &m) == nil {
			members = append(members, m)
		}
	}
	sort.Slice(members, func(i, j int) bool { return members[i].Started.Before(members[j].Started) })
	return members, nil
}

// Flights returns the uploads in progress in this process.
func (w *Worker) Flights() []Flight { return w.flights.list() }

// Ready reports whether the worker can do its work: JetStream answers, and no budget is
// paused for a fault.
func (w *Worker) Ready(ctx context.Context) error {
	if _, err := w.q.jobs.Info(ctx); err != nil {
		return fmt.Errorf("JetStream does not answer: %w", err)
	}
	for _, b := range []Budget{Uploads, Queries} {
		if p, on, _ := w.pauses.active(b); on && p.Until.Sub(w.now()) <= longestPause {
			return fmt.Errorf("%s are paused until %s: %s", b, p.Until.Format(time.RFC3339), p.Reason)
		}
	}
	return nil
}
