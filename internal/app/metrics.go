package app

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Prometheus gives up a scrape after ten seconds by default, and then loses all metrics of the
// process. So reading the state of the fleet must be faster.
const (
	scrapeAge     = 5 * time.Second // how old the state in a scrape may be
	scrapeTimeout = 3 * time.Second // limits reading a newer one
)

// fleetMetrics describe the whole fleet, and every process exports them: use their max and not
// their sum. They are at most scrapeAge old. When NATS is unreachable, backburn_fleet_up is 0 and
// the others are omitted; stale values would look healthy.
type fleetMetrics struct {
	status *statusCache
	log    zerolog.Logger

	up                           *prometheus.Desc
	laneJobs, laneHeld, laneAge  *prometheus.Desc // by lane
	jobs, oldest                 *prometheus.Desc // by the state of jobs
	dead                         *prometheus.Desc // by reason
	used, limit                  *prometheus.Desc // by budget
	resetsAt, exhaustedAt, spent *prometheus.Desc // by budget
	workers, leaders             *prometheus.Desc
	members                      *prometheus.Desc // by role and state

	all []*prometheus.Desc
}

// connectedGauge returns the gauge backburn_nats_connected.
func connectedGauge(parts *health.Registry) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_nats_connected",
		Help: "1 while this process is connected to NATS.",
	}, func() float64 {
		return boolValue(health.Ready(parts.Of("nats", "")))
	})
}

// otherReason is the label value for reasons that only a later version knows.
const otherReason = "other"

func newFleetMetrics(status *statusCache, log zerolog.Logger) *fleetMetrics {
	var all []*prometheus.Desc
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		all = append(all, prometheus.NewDesc("backburn_fleet_"+name, help, labels, nil))
		return all[len(all)-1]
	}
	m := &fleetMetrics{
		status: status, log: log,
		up:          desc("up", "1 if NATS returned the state of the fleet; otherwise the other backburn_fleet_ metrics are absent."),
		laneJobs:    desc("lane_jobs", "Jobs in a lane of the queue, including the jobs that workers hold.", "lane"),
		laneHeld:    desc("lane_jobs_held", "Jobs of a lane that workers hold, or that are delivered again later.", "lane"),
		laneAge:     desc("lane_oldest_seconds", "How long the queue has had the oldest job of a lane, since it was queued or requeued; 0 if there is none.", "lane"),
		jobs:        desc("jobs", "Jobs that are queued, pending at WildFire, or parked for a budget or a pause.", "state"),
		oldest:      desc("oldest_seconds", "How long the oldest job in this state has been in it; 0 if there is none.", "state"),
		dead:        desc("dead_letters", "Dead letters that are kept, by reason.", "reason"),
		used:        desc("quota_used", "Calls of the day by the fleet's count, including those that workers have reserved.", "budget"),
		limit:       desc("quota_limit", "Calls that a day allows, by the configuration of this process; 0 for no limit.", "budget"),
		resetsAt:    desc("quota_reset_timestamp_seconds", "When the budget is renewed.", "budget"),
		exhaustedAt: desc("quota_exhausted_timestamp_seconds", "When the budget will be used up at today's pace; 0 if it lasts until the reset, or is already spent.", "budget"),
		spent:       desc("quota_spent", "1 while the budget is used up until its reset.", "budget"),
		workers:     desc("workers", "Live workers."),
		leaders:     desc("leaders", "Workers that lead and run the poller: 1, or 0 while there is none; 2 for a moment if a leader was replaced."),
		members:     desc("members", "Processes of the fleet by role and state; gone are those that died or lost NATS, without a replacement.", "role", "state"),
	}
	m.all = all

	return m
}

func (m *fleetMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.all {
		ch <- d
	}
}

func (m *fleetMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := m.status.status(ctx, scrapeAge)
	if err != nil {
		m.log.Debug().Err(err).Msg("cannot read the state of the fleet for a scrape")
		gauge(m.up, 0)

		return
	}

	gauge(m.up, 1)
	for _, p := range pipeline.Priorities() {
		lane := st.Lanes[p]
		gauge(m.laneJobs, float64(lane.Queued), string(p))
		gauge(m.laneHeld, float64(lane.Held), string(p))
		gauge(m.laneAge, ageSeconds(lane.Oldest), string(p))
	}

	for state, w := range map[string]queue.WaitStatus{"queued": st.Queued, "pending": st.Pending, "parked": st.Parked} {
		gauge(m.jobs, float64(w.Jobs), state)
		gauge(m.oldest, ageSeconds(w.Oldest), state)
	}

	for reason, n := range deadByReason(st.Dead) {
		gauge(m.dead, float64(n), reason)
	}

	for b, s := range map[pipeline.Budget]fleet.BudgetStatus{pipeline.Uploads: st.Uploads, pipeline.Queries: st.Queries} {
		gauge(m.used, float64(s.Used), string(b))
		gauge(m.limit, float64(s.Limit), string(b))
		gauge(m.resetsAt, unixSeconds(s.ResetsAt), string(b))
		gauge(m.exhaustedAt, unixSeconds(s.LastsUntil), string(b))
		gauge(m.spent, boolValue(s.Spent), string(b))
	}

	workers := st.Workers()
	gauge(m.workers, float64(len(workers)))
	leaders := slices.DeleteFunc(workers, func(w fleet.Member) bool { return !w.Leader })
	gauge(m.leaders, float64(len(leaders)))
	for key, n := range membersByState(st.Members) {
		gauge(m.members, float64(n), key.role, key.state)
	}
}

type memberKey struct{ role, state string }

// goneState is the state of a member that died and was not replaced.
const goneState = "gone"

// membersByState counts the members of each role and state, so that every known pair has a value.
func membersByState(members []fleet.Member) map[memberKey]int {
	all := map[memberKey]int{}
	for _, role := range fleet.Roles() {
		for _, s := range health.States() {
			all[memberKey{role, string(s)}] = 0
		}

		all[memberKey{role, goneState}] = 0
	}

	for _, m := range members {
		key := memberKey{m.Role, string(m.State)}
		if m.Gone {
			key.state = goneState
		}
		if _, known := all[key]; known {
			all[key]++
		}
	}

	return all
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}

	return 0
}

// deadByReason counts the dead letters of each known reason, and all others as otherReason.
func deadByReason(dead map[string]uint64) map[string]uint64 {
	all := map[string]uint64{otherReason: 0}
	for _, r := range results.Reasons() {
		all[string(r)] = 0
	}

	for reason, n := range dead {
		if _, known := all[reason]; !known {
			reason = otherReason
		}
		all[reason] += n
	}

	return all
}

// ageSeconds returns the age of t in seconds; 0 for the zero time and for times in the future.
func ageSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t).Seconds())
}

// unixSeconds returns the seconds from 1970 to t; 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
