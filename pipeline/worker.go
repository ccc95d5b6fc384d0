package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
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
	now       func() time.Time

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
	log zerolog.Logger
	reg prometheus.Registerer
	now func() time.Time
}

// WithLogger sets the logger; without it the worker is silent.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics sets where metrics are registered; without it they are not.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.reg = r } }

// WithClock sets what tells the time of day, on which quotas, verdicts' ages and schedules depend.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// NewWorker makes a worker on an open queue. It does nothing until Run.
func NewWorker(q *Queue, cfg Config, submitter Submitter, oracle Oracle, opts ...Option) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := options{log: zerolog.Nop(), now: time.Now}
	for _, f := range opts {
		f(&o)
	}
	w := &Worker{
		q: q, cfg: cfg, submitter: submitter, oracle: oracle, log: o.log, now: o.now,
		fleet:   newFleet(q, cfg.Lease, cfg.Concurrency),
		pauses:  newPauses(q),
		asker:   newAsker(q, cfg.Lease),
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

	intake, lanes := errgroup.WithContext(ctx)
	for _, p := range Priorities() {
		intake.Go(func() error { return w.takeLane(lanes, work, p) })
	}
	err := intake.Wait()

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
	return errors.Join(err, g.Wait())
}

// Jobs of a lane that one worker may have in hand. Those that wait for an answer of
// WildFire need no slot, and the more of them there are, the better a call is used.
const handPerLane = 256

// takeLane fetches jobs of a lane, never more than there is room for in hand.
func (w *Worker) takeLane(ctx, work context.Context, p Priority) error {
	log := w.log.With().Str("lane", string(p)).Logger()
	room := make(chan struct{}, handPerLane)
	var consumer jetstream.Consumer
	for fault := 0; ctx.Err() == nil; {
		if consumer == nil {
			c, err := w.q.jobs.CreateOrUpdateConsumer(ctx, w.q.laneConfig(p))
			if err != nil {
				fault = w.laneFault(ctx, log, err, fault)
				continue
			}
			consumer = c
		}
		n, ok := reserve(ctx, room)
		if !ok {
			return nil
		}
		taken, err := w.fetch(ctx, work, consumer, p, n, room)
		for range n - taken {
			<-room
		}
		if err != nil && ctx.Err() == nil {
			consumer = nil // it may have been lost with its server
			fault = w.laneFault(ctx, log, err, fault)
			continue
		}
		if fault > 0 {
			log.Info().Msg("jobs can be fetched again")
			fault = 0
		}
	}
	return nil
}

// laneFault waits after a fetch that failed, and tells the first one of a row.
func (w *Worker) laneFault(ctx context.Context, log zerolog.Logger, err error, fault int) int {
	if fault == 0 && ctx.Err() == nil {
		log.Warn().Err(err).Msg("jobs can't be fetched; will try again")
	}
	_ = sleep(ctx, backOff(fault, 100*time.Millisecond, 5*time.Second))
	return fault + 1
}

// reserve takes all the room there is, and waits until there is some. In a hand that was full,
// room comes back job by job: it gathers for a moment, so that one request fetches several.
func reserve(ctx context.Context, room chan struct{}) (n int, ok bool) {
	full := len(room) == cap(room)
	select {
	case room <- struct{}{}:
		n = 1
	case <-ctx.Done():
		return 0, false
	}
	if full && sleep(ctx, gatherRoom) != nil {
		<-room
		return 0, false
	}
	for {
		select {
		case room <- struct{}{}:
			n++
		default:
			return n, true
		}
	}
}

const gatherRoom = 5 * time.Millisecond

// fetchWait is how long one request for jobs stays open, and so the longest that a stop
// waits for the intake.
const fetchWait = time.Second

// fetch asks for up to n jobs and starts on each as it arrives. It returns how many came.
func (w *Worker) fetch(ctx, work context.Context, c jetstream.Consumer, p Priority, n int, room chan struct{}) (int, error) {
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return 0, fmt.Errorf("fetch jobs: %w", err)
	}
	taken := 0
	for msg := range batch.Messages() {
		taken++
		d := w.accept(msg)
		w.jobs.Add(1)
		go func() {
			defer func() { w.jobs.Done(); <-room }()
			w.bring(ctx, work, d)
		}()
	}
	return taken, batch.Error()
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
	fate, err := w.handle(ctx, work, d)
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
