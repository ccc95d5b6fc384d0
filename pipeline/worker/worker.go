package worker

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/wildfire"
)

// Submitter takes uploads; wildfire.Client is one.
type Submitter interface {
	SubmitFile(ctx context.Context, f wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error)
	SubmitLink(ctx context.Context, link string) (wildfire.LinkSubmission, error)
}

// Worker fetches jobs from the lanes and brings each to its final event. Any number of workers, in
// any number of processes, share one queue.
type Worker struct {
	q         *queue.Queue
	cfg       pipeline.Config
	submitter Submitter
	log       zerolog.Logger
	metrics   *metrics
	spans     span.Spans
	now       func() time.Time

	member  *fleet.Membership
	pauses  *fleet.Pauses
	uploads *fleet.Quota
	queries *fleet.Quota
	client  *poller.Client
	poller  *poller.Poller

	tokens   Tokens // nil where nobody tells
	limiter  *rate.Limiter
	slots    *slots
	leases   *leases
	claims   *claims
	sources  *sources
	progress *progress
	breaker  breaker
	refusals pipeline.Refusals

	jobs sync.WaitGroup // deliveries that are worked on
}

// Option changes how a worker is made.
type Option func(*options)

// Tokens tells when a token can be had; auth.Source is one.
type Tokens interface {
	// WaitReady returns when a call would not fail for want of a token, or with ctx's error.
	WaitReady(ctx context.Context) error
}

// WithTokens lets the worker wait for a token where one is missing; without it, it tries again
// after a while.
func WithTokens(t Tokens) Option { return func(o *options) { o.tokens = t } }

type options struct {
	tokens Tokens
	log    zerolog.Logger
	reg    prometheus.Registerer
	traces trace.TracerProvider
	now    func() time.Time
	tick   time.Duration
}

// WithLogger sets the logger; without it the worker is silent.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics sets where metrics are registered; without it they are not.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.reg = r } }

// WithTracing sets where spans go; without it, or with nil, there are none, and events carry no
// traceparent.
func WithTracing(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithClock sets what tells the time of day, on which quotas, verdicts' ages and schedules depend.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithTick sets how often those who wait for a time of day look at the clock: a second, since
// clocks are set, and machines are suspended, without a timer noticing. A clock that runs
// faster than time needs less.
func WithTick(d time.Duration) Option { return func(o *options) { o.tick = d } }

const defaultTick = time.Second

// New makes a worker on an open queue. It does nothing until Run.
func New(q *queue.Queue, cfg pipeline.Config, submitter Submitter, oracle poller.Oracle, opts ...Option) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}

	o := options{log: zerolog.Nop(), now: time.Now, tick: defaultTick}
	for _, f := range opts {
		f(&o)
	}

	control := q.Control()
	pauses := fleet.NewPauses(control, o.now, o.tick)
	w := &Worker{
		q:         q,
		cfg:       cfg,
		submitter: submitter,
		log:       o.log,
		spans:     span.New(o.traces),
		now:       o.now,
		member:    fleet.Join(control, cfg.Lease, cfg.Concurrency),
		pauses:    pauses,
		uploads:   fleet.NewQuota(control, pipeline.Uploads, cfg.UploadsPerDay, cfg.ReservePercent, o.now),
		queries:   fleet.NewQuota(control, pipeline.Queries, cfg.QueriesPerDay, cfg.ReservePercent, o.now),
		client:    poller.NewClient(q, pauses, cfg.Lease),
		limiter:   rate.NewLimiter(limitOf(cfg.Rate), cfg.Burst),
		slots:     newSlots(cfg.Concurrency),
		leases:    newLeases(),
		claims:    newClaims(),
		sources:   newSources(),
		progress:  newProgress(),
		tokens:    o.tokens,
	}
	w.metrics = newMetrics(o.reg, w)
	w.poller = poller.New(poller.Deps{
		Queue:   q,
		Member:  w.member,
		Pauses:  pauses,
		Oracle:  oracle,
		Queries: w.queries,
		Uploads: w.uploads,
		Config:  cfg,
		Log:     o.log,
		Metrics: w.metrics.poller(),
		Spans:   w.spans,
		Now:     o.now,
		Tick:    o.tick,
		Wait:    w.waitForToken,
	})

	return w, nil
}

func limitOf(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// Run works until ctx ends. It then fetches no more jobs, hands back those that were not begun, lets
// uploads in progress go on for the shutdown timeout, and returns when
// every goroutine is gone.
func (w *Worker) Run(ctx context.Context) error {
	ctx = span.Detached(ctx)
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var g errgroup.Group
	for _, run := range []func(context.Context) error{
		w.member.Run, w.pauses.Run, w.client.Run, w.poller.Run, w.shareRate,
		func(ctx context.Context) error { return w.leases.run(ctx, w.cfg.Lease) },
	} {
		g.Go(func() error { return run(services) })
	}

	w.fetchAll(ctx, work)

	idle := make(chan struct{})
	go func() { w.jobs.Wait(); close(idle) }()
	if n := w.leases.size(); n > 0 {
		w.log.Info().Int("jobs", n).Stringer("timeout", w.cfg.ShutdownTimeout).Msg("finishing jobs under way")
	}

	select {
	case <-idle:
	case <-time.After(w.cfg.ShutdownTimeout):
		w.log.Warn().Int("jobs", w.leases.size()).Msg("shutdown timeout reached; handing jobs back")
		stopWork()
		<-idle
	}

	bctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	w.uploads.Release(bctx)
	w.queries.Release(bctx)
	stopServices()

	return g.Wait()
}

// accept takes a message on.
func (w *Worker) accept(msg jetstream.Msg) *delivery {
	d := &delivery{msg: msg}
	d.Message, d.invalid = w.q.Receive(msg)
	w.leases.take(d)

	return d
}

// process runs one delivery as far as it can now, then acks or naks its message.
func (w *Worker) process(ctx, work context.Context, d *delivery) {
	ctx, sp := w.spans.Job(ctx, d.Job, d.Trace)
	if sp != nil {
		work = trace.ContextWithSpan(work, sp)
		d.Trace = span.Current(ctx) // what happens to the job later belongs to this delivery
	}
	r, err := w.execute(ctx, work, d)
	w.endSpan(sp, d, r, err)

	log := w.log.With().Str("job", d.Job.ID).Str("source", d.Job.Source).Logger()
	switch {
	case err != nil && ctx.Err() == nil:
		log.Warn().Err(err).Msg("cannot process job now; requeued")
		r = retryAfter(w.cfg.Backoff(0))
	case err != nil:
		r = retryAfter(w.cfg.Lease / 3)
	}

	if r.ack {
		err = w.leases.ack(d)
	} else {
		err = w.leases.nak(d, r.after)
	}
	if err != nil {
		log.Debug().Err(err).Msg("message not settled; it will be redelivered")
	}
}

func (w *Worker) endSpan(sp trace.Span, d *delivery, r result, err error) {
	outcome := "again"
	if err == nil && r.ack {
		outcome = cmp.Or(d.outcome, "waiting")
	}

	sum := ""
	if d.Job.Verified {
		sum = d.Job.SHA256
	}
	span.EndJob(sp, outcome, sum, err != nil)
}

// Uploads returns the uploads in progress in this process.
func (w *Worker) Uploads() []Upload { return w.progress.list() }

// Ready reports whether the worker can do its work: what it writes can be written, it reaches the
// contents of its sources, and no budget is paused for a fault.
func (w *Worker) Ready(ctx context.Context) error {
	if err := w.q.Ready(ctx); err != nil {
		return err
	}
	if err := w.sources.err(); err != nil {
		return err
	}
	for _, b := range pipeline.Budgets() {
		if p, on, _ := w.pauses.Active(b); on && p.Until.Sub(w.now()) <= fleet.LongestPause {
			return fmt.Errorf("%s are paused until %s: %s", b, p.Until.Format(time.RFC3339), p.Reason)
		}
	}

	return nil
}

// shareRate keeps this worker's part of the fleet's rate, by the slots of those alive.
func (w *Worker) shareRate(ctx context.Context) error {
	for {
		members, changed := w.member.Members()
		total := 0
		for _, m := range members {
			total += m.Slots
		}
		share := float64(w.cfg.Concurrency) / float64(max(total, 1))
		if w.cfg.Rate > 0 {
			w.limiter.SetLimit(rate.Limit(w.cfg.Rate * share))
			w.limiter.SetBurst(max(int(float64(w.cfg.Burst)*share), 1))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
