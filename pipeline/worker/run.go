package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/internal/health"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
)

// New makes a worker for an open queue. The worker starts no work before Run.
func New(q *queue.Queue, cfg pipeline.Config, submitter Submitter, verdicts poller.VerdictClient, opts ...Option) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}

	o := options{
		Deps:    poller.Deps{Log: zerolog.Nop(), Now: time.Now, Tick: defaultTick},
		process: fleet.Process{Role: "worker"},
	}
	for _, f := range opts {
		f(&o)
	}
	if o.health == nil {
		o.health = health.New(zerolog.Nop())
	}
	o.process.Slots = cfg.Concurrency

	control := q.Control()
	leases := &leases{held: map[*delivery]struct{}{}}
	s := &shared{Deps: o.Deps}
	s.Queue = q
	s.Verdicts = verdicts
	s.Settings = pipeline.NewSettings(cfg)
	s.Member = fleet.Join(control, cfg.Lease, o.process)
	s.Pauses = fleet.NewPauses(control, s.Now, s.Tick)
	s.Queries = fleet.NewQuota(control, pipeline.Queries, cfg.QueriesPerDay, cfg.ReservePercent, s.Now)
	s.Uploads = fleet.NewQuota(control, pipeline.Uploads, cfg.UploadsPerDay, cfg.ReservePercent, s.Now)
	s.RuleBudgets = fleet.NewRuleBudgets(control, cfg.RuleBudgets(), s.Now)
	s.Spans = span.New(o.traces)
	s.metrics = newMetrics(o.reg, s.Log, leases, s.Pauses)
	s.Metrics = s.metrics.Metrics
	s.AwaitToken = func(ctx context.Context) error { return s.waitForToken(ctx, o.tokens) }

	w := &Worker{
		shared:   s,
		examiner: &examiner{shared: s, sources: newSources(o.health), guard: o.guard},
		uploader: &uploader{
			shared:    s,
			submitter: submitter,
			limiter:   rate.NewLimiter(limitOf(cfg.Rate), cfg.Burst),
			turns:     newTurns(cfg.Concurrency),
			slots:     newSlots(cfg.Concurrency),
			claims:    &claims{uploading: map[string][]pipeline.Priority{}},
			progress:  &progress{active: map[*Upload]struct{}{}},
		},
		client: poller.NewClient(q, s.Pauses, s.Queries, cfg.Lease),
		poller: poller.New(s.Deps),
		leases: leases,

		reconfigured: make(chan struct{}, 1),
	}
	for _, b := range pipeline.Budgets() {
		o.health.Func(string(b), "", func() error { return pauseFault(s.Pauses, b) })
	}
	q.Dead().OnPut(func(r results.Reason) { s.metrics.deadLetters(r).Inc() })

	return w, nil
}

func limitOf(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}

	return rate.Limit(perSecond)
}

// Run processes jobs until ctx ends. It then fetches no more jobs, and lets uploads in progress
// continue for the shutdown timeout. Jobs that still wait for something go back to the queue. Run
// returns when all goroutines of the worker have ended.
func (w *Worker) Run(ctx context.Context) error {
	ctx = span.Detached(ctx)
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var g errgroup.Group
	for _, run := range []func(context.Context) error{
		w.Member.Run, w.Pauses.Run, w.client.Run, w.poller.Run, w.shareRate,
		func(ctx context.Context) error { return w.leases.run(ctx, w.config().Lease) },
	} {
		g.Go(func() error { return run(services) })
	}

	w.fetchAll(ctx, work)

	idle := make(chan struct{})
	go func() { w.jobs.Wait(); close(idle) }()
	if n := w.leases.size(); n > 0 {
		w.Log.Info().Int("jobs", n).Stringer("timeout", w.config().ShutdownTimeout).Msg("finishing jobs in progress")
	}

	select {
	case <-idle:
	case <-time.After(w.config().ShutdownTimeout):
		w.Log.Warn().Int("jobs", w.leases.size()).Msg("shutdown timeout reached; returning jobs to the queue")
		stopWork()
		<-idle
	}

	stopServices()
	err := g.Wait()

	// Only now, because the poller uses queries until it has ended.
	releaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	w.releaseBudgets(releaseCtx)

	return err
}

// releaseBudgets gives back what this process has reserved of the budgets and not used.
func (w *Worker) releaseBudgets(ctx context.Context) {
	for _, q := range append(w.RuleBudgets.All(), w.uploader.Uploads, w.Queries) {
		q.Release(ctx)
	}
}

// Reconfigure replaces the configuration of a running worker. Each job uses the new one from its
// next step on, except that the policy's ruling on a job stays the same until its next delivery.
// Only the fields of pipeline.Config with the struct tag reload may change; the caller must leave
// the others as they were, because parts of the worker keep the values from its start. Calls of
// Reconfigure must not overlap.
func (w *Worker) Reconfigure(ctx context.Context, cfg pipeline.Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	w.RuleBudgets.Set(cfg.RuleBudgets()) // before the rules, because a job uses the budgets of its rules
	w.Settings.Set(cfg)

	for q, perDay := range map[*fleet.Quota]int{w.uploader.Uploads: cfg.UploadsPerDay, w.Queries: cfg.QueriesPerDay} {
		q.SetLimit(perDay, cfg.ReservePercent)
	}
	w.releaseBudgets(ctx) // so that the new limits apply at once
	select {
	case w.reconfigured <- struct{}{}:
	default: // a signal is already pending
	}
	w.poller.Reconfigured()

	return nil
}

// Membership is the worker's place in the fleet.
func (w *Worker) Membership() *fleet.Membership { return w.Member }

// pauseFault returns the cause of a budget's pause as a health.Fault, or nil if the budget is not
// paused. The fault's state is Degraded if the budget is used up or a person paused it, and Failed
// after a fault of the service.
func pauseFault(pauses *fleet.Pauses, b pipeline.Budget) error {
	p, on, _ := pauses.Active(b)
	until := p.Until.Format(time.RFC3339)
	switch {
	case !on:
		return nil
	case p.Spent:
		return health.Fault{
			State:  health.Degraded,
			Cause:  health.CauseQuota,
			Reason: p.Reason + "; they are paused until " + until,
		}
	case p.By != "":
		return health.Fault{
			State:  health.Degraded,
			Cause:  health.CausePause,
			Reason: fmt.Sprintf("%s are %s, until %s", b, p.Reason, until),
			Remedy: "`backburn resume` ends the pause",
		}
	}

	return health.Fault{
		Cause:  health.CausePause,
		Reason: fmt.Sprintf("%s are paused until %s: %s", b, until, p.Reason),
		Remedy: "after that time, a single call checks whether the fault is gone",
	}
}

// Ask sends a question to the fleet's poller, just as this worker does for its own jobs, and
// returns WildFire's answer.
func (w *Worker) Ask(ctx context.Context, q poller.Question) (poller.Answer, error) {
	return w.client.Ask(ctx, q)
}

// Uploads returns the file uploads in progress in this process.
func (w *Worker) Uploads() []Upload { return w.uploader.progress.list() }

// shareRate keeps this worker's rate at its share of the fleet's rate, in proportion to the upload
// slots of the live workers.
func (w *Worker) shareRate(ctx context.Context) error {
	for {
		members, changed := w.Member.LiveWorkers()
		total := 0
		for _, m := range members {
			total += m.Slots
		}
		cfg := w.config()
		share := float64(cfg.Concurrency) / float64(max(total, 1))
		w.uploader.limiter.SetLimit(limitOf(cfg.Rate * share))
		w.uploader.limiter.SetBurst(max(int(float64(cfg.Burst)*share), 1))
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-w.reconfigured:
		}
	}
}
