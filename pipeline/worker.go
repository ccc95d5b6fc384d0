package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/wildfire"
)

// Submitter takes uploads; wildfire.Client is one.
type Submitter interface {
	SubmitFile(ctx context.Context, f wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error)
	SubmitLink(ctx context.Context, link string) (wildfire.LinkSubmission, error)
}

// Worker takes jobs from the lanes and brings each to its final event. Any number of
// workers, in any number of processes, share one queue.
type Worker struct {
	q         *Queue
	cfg       Config
	submitter Submitter
	oracle    Oracle
	log       zerolog.Logger
	metrics   *workerMetrics
	tracing   tracing
	now       func() time.Time
	tick      time.Duration

	fleet   *fleet
	pauses  *pauses
	asker   *asker
	batcher *batcher
	uploads *ledger
	queries *ledger
	limiter *rate.Limiter
	slots   *slots
	hand    *hand
	breaker breaker
	flights *flights
	claims  *claims

	jobs sync.WaitGroup // deliveries in hand
}

// Option changes how a worker is made.
type Option func(*options)

type options struct {
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

// NewWorker makes a worker on an open queue. It does nothing until Run.
func NewWorker(q *Queue, cfg Config, submitter Submitter, oracle Oracle, opts ...Option) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := options{log: zerolog.Nop(), now: time.Now, tick: defaultTick}
	for _, f := range opts {
		f(&o)
	}
	w := &Worker{
		q: q, cfg: cfg, submitter: submitter, oracle: oracle, log: o.log, tracing: newTracing(o.traces), now: o.now, tick: o.tick,
		fleet:   newFleet(q, cfg.Lease, cfg.Concurrency),
		pauses:  newPauses(q),
		uploads: newLedger(q, Uploads, cfg.UploadsPerDay, cfg.ReservePercent),
		queries: newLedger(q, Queries, cfg.QueriesPerDay, cfg.ReservePercent),
		limiter: rate.NewLimiter(limitOf(cfg.Rate), cfg.Burst),
		slots:   newSlots(cfg.Concurrency),
		hand:    newHand(),
		flights: newFlights(),
		claims:  newClaims(),
	}
	w.metrics = newWorkerMetrics(o.reg, w)
	w.pauses.now, w.uploads.now, w.queries.now = o.now, o.now, o.now
	w.pauses.tick = o.tick
	w.asker = newAsker(q, w.pauses, cfg.Lease)
	w.batcher = newBatcher(w)
	return w, nil
}

func limitOf(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// Run works until ctx ends. It then takes no more jobs, hands back those that were not
// begun, lets uploads in flight go on for the shutdown timeout, and returns when
// every goroutine is gone.
func (w *Worker) Run(ctx context.Context) error {
	ctx = untraced(ctx)
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var g errgroup.Group
	for _, run := range []func(context.Context) error{
		w.fleet.run, w.pauses.run, w.asker.run, w.batcher.run, w.shareRate,
		func(ctx context.Context) error { return w.hand.run(ctx, w.cfg.Lease) },
	} {
		g.Go(func() error { return run(services) })
	}

	w.intake(ctx, work)

	handedBack := make(chan struct{})
	go func() { w.jobs.Wait(); close(handedBack) }()
	if n := w.hand.size(); n > 0 {
		w.log.Info().Int("jobs", n).Dur("timeout", w.cfg.ShutdownTimeout).Msg("finishing work in hand")
	}
	select {
	case <-handedBack:
	case <-time.After(w.cfg.ShutdownTimeout):
		w.log.Warn().Int("jobs", w.hand.size()).Msg("time is up; handing the rest back")
		stopWork()
		<-handedBack
	}
	bctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	w.uploads.giveBack(bctx)
	w.queries.giveBack(bctx)
	stopServices()
	return g.Wait()
}

// accept takes a message in hand.
func (w *Worker) accept(msg jetstream.Msg) *delivery {
	d := &delivery{msg: msg}
	meta, err := msg.Metadata()
	if err == nil {
		d.envelope, err = w.q.open(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
	}
	d.bad = err
	w.hand.take(d)
	return d
}

// bring brings a delivery as far as it goes today, and settles its message.
func (w *Worker) bring(ctx, work context.Context, d *delivery) {
	ctx, work, span := w.tracing.job(ctx, work, d)
	fate, err := w.handle(ctx, work, d)
	endJob(span, d, fate, err)
	log := w.log.With().Str("job", d.Job.ID).Str("source", d.Job.Source).Logger()
	switch {
	case err != nil && ctx.Err() == nil:
		log.Warn().Err(err).Msg("job can't go on now; it stays in the queue")
		fate = again(backOff(0, w.cfg.RetryMin, w.cfg.RetryMax))
	case err != nil:
		fate = again(w.cfg.Lease / 3)
	}
	if fate.over {
		err = w.hand.ack(d)
	} else {
		err = w.hand.giveBack(d, fate.after)
	}
	if err != nil {
		log.Debug().Err(err).Msg("message not settled; it will come again")
	}
}

// fate is what becomes of a delivery's message.
type fate struct {
	over  bool          // it is acknowledged: the job is done, or waits elsewhere
	after time.Duration // otherwise it comes again after so long
}

var over = fate{over: true}

func again(after time.Duration) fate { return fate{after: after} }

// shareRate keeps this worker's part of the fleet's rate, by the slots of those alive.
func (w *Worker) shareRate(ctx context.Context) error {
	for {
		members, changed := w.fleet.members()
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
