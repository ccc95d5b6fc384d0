package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Poller asks WildFire on behalf of the whole fleet. Every worker has one, but only the leader's is
// active.
type Poller struct {
	*shared
	finisher  *finisher
	querier   *querier
	rechecker *rechecker
	fetcher   *reportFetcher
}

// New makes a poller. It does nothing until Run.
func New(d Deps) *Poller {
	d.Log = d.Log.With().Str("part", "poller").Logger()

	s := &shared{
		Deps:      d,
		taskLimit: make(chan struct{}, maxTasks),
		wakeCheck: make(chan struct{}, 1),
		wakeAsk:   make(chan struct{}, 1),
	}
	p := &Poller{shared: s, rechecker: &rechecker{shared: s}}
	p.finisher = &finisher{
		shared:     s,
		rechecker:  p.rechecker,
		requeues:   rate.NewLimiter(requeueRate(s.config().Rate), maxRequeueRate),
		clock:      newClock(s.Now),
		shiftTimes: p.shiftTimes,
	}
	p.querier = &querier{shared: s, finisher: p.finisher, rechecker: p.rechecker}
	p.fetcher = &reportFetcher{shared: s, querier: p.querier, wakeReport: make(chan struct{}, 1)}

	return p
}

// Run competes for leadership until ctx ends, and runs the poller while it leads.
func (p *Poller) Run(ctx context.Context) error {
	for {
		leads, err := p.withinLease(ctx, p.Member.TryLead)
		if leads {
			if err = p.serve(ctx); err != nil && ctx.Err() == nil {
				p.Log.Warn().Err(err).Msg("poller stopped unexpectedly; competing for leadership again")
			}
		}

		if ctx.Err() != nil {
			lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			p.Member.StepDown(lctx)
			return nil
		}

		wait := p.config().Lease / 3
		if err != nil {
			_, _ = p.repairStreams(ctx) // without the control bucket nobody can lead
			wait = time.Second
		}
		_ = pipeline.Sleep(ctx, wait)
	}
}

// withinLease calls f, which acquires or checks leadership, with one lease as its timeout. Without
// the timeout, f would wait for an answer as long as the control bucket is missing, and the caller
// repairs the bucket only after f has returned.
func (p *Poller) withinLease(ctx context.Context, f func(context.Context) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config().Lease)
	defer cancel()

	return f(ctx)
}

// serve does the leader's work until ctx ends or an error occurs, such as the loss of leadership.
func (p *Poller) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.Member.SetLeader(true)
	defer p.Member.SetLeader(false)

	p.mu.Lock()
	p.list = newWaitlist()
	p.querier.questions = map[string]*workerQuestion{}
	p.rechecker.rechecks = newRechecks(p.config().Recheck, p.Now())
	p.finisher.term = nuid.Next()
	p.finisher.clock.restart()
	p.mu.Unlock()

	p.fetcher.reportsMu.Lock()
	p.fetcher.reports = newReportList(p.Settings)
	p.fetcher.reportsMu.Unlock()

	if err := p.finisher.published.load(ctx, p.Queue); err != nil {
		return err
	}

	jobsRead := make(chan struct{})
	stop, err := p.subscribe(ctx, sync.OnceFunc(func() { close(jobsRead) }))
	defer func() {
		cancel() // first: a task may wait for its context to end, and stop may wait for a task
		stop()
		p.tasks.Wait()
		for _, g := range []prometheus.Gauge{p.Metrics.Pending, p.Metrics.Parked, p.Metrics.ReportsWaiting} {
			g.Set(0) // the next leader counts them
		}
	}()
	if err != nil {
		return err
	}
	p.Log.Debug().Msg("this worker leads")

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.finisher.checkLoop(ctx) })
	g.Go(func() error { return p.querier.askLoop(ctx) })
	g.Go(func() error { return p.fetcher.reportLoop(ctx) })
	g.Go(func() error { return p.followSamples(ctx, jobsRead) })
	g.Go(func() error { return p.keepLeading(ctx) })
	g.Go(func() error { return p.finisher.published.storeRegularly(ctx, p.Queue) })
	g.Go(func() error { return p.Uploads.WatchReturns(ctx, p.finisher.scheduleChecks) })

	return g.Wait()
}

// subscribe subscribes to the messages for the leader and to the ledger's records of jobs. It calls
// allRead whenever all records of jobs that exist at that time have been read.
func (p *Poller) subscribe(ctx context.Context, allRead func()) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}

	for subject, handle := range map[string]nats.MsgHandler{
		p.Queue.AskSubject():     p.querier.receive,
		p.Queue.ChangedSubject(): p.finisher.sampleChanged,
		p.Queue.WaitingSubject(): p.replyWaiting,
	} {
		sub, err := p.Queue.Conn().Subscribe(subject, handle)
		if err != nil {
			return stop, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		stops = append(stops, func() { _ = sub.Unsubscribe() })
	}

	s, err := p.Queue.Ledger().FollowJobs(ctx, func(r queue.JobHeader) { p.finisher.jobWritten(ctx, r) }, allRead)
	if err != nil {
		return stop, err
	}
	stops = append(stops, s)

	return stop, nil
}

// maxJobReadWait is the longest time that followSamples waits until the jobs are read.
const maxJobReadWait = time.Minute

// sampleReadTicks is the time between two reads of the changed samples, in ticks. If a sample
// changes several times in between, only its newest record is read.
const sampleReadTicks = 2

// followSamples reads the records of all samples that are recent enough for a recheck, a report or
// a late verdict, and then repeatedly those that have changed, until ctx ends. It starts after the
// jobs are read, or after maxJobReadWait. There may be a million samples and as many jobs, and the
// samples are less urgent.
func (p *Poller) followSamples(ctx context.Context, jobsRead <-chan struct{}) error {
	p.mu.Lock()
	since := p.rechecker.rechecks.since
	p.mu.Unlock()
	if p.fetcher.enabled() {
		since = earlierOf(since, p.Now().Add(-reportLookBack-maxLeaderGap))
	}

	select {
	case <-jobsRead:
	case <-time.After(maxJobReadWait):
	case <-ctx.Done():
		return ctx.Err()
	}

	for last := uint64(0); ; {
		var err error
		last, err = p.Queue.Ledger().ReadSamples(ctx, last, since, func(r queue.EncodedSample) { p.sampleWritten(ctx, r) })
		if err != nil && ctx.Err() == nil {
			p.Log.Debug().Err(err).Msg("cannot read samples; retrying")
		}
		if err := pipeline.Sleep(ctx, sampleReadTicks*p.Tick); err != nil {
			return err
		}
	}
}

// sampleWritten handles a new record of a sample in the ledger. It updates the lists of rechecks
// and reports, and publishes a verdict on a sample that was withheld.
func (p *Poller) sampleWritten(ctx context.Context, r queue.EncodedSample) {
	var s pipeline.Sample
	if json.Unmarshal(r.Body, &s) != nil {
		return
	}

	p.rechecker.update(r.Key, s)
	p.fetcher.updateReport(r, s)
	if s.State == pipeline.StateVerdict && !s.WithheldAt.IsZero() {
		p.async(ctx, func() { p.rechecker.publishWithheld(ctx, r.Key, s) })
	}
}

// replyWaiting answers a request for the numbers of waiting jobs and reports.
func (p *Poller) replyWaiting(m *nats.Msg) {
	p.mu.Lock()
	w := p.list.waiters()
	p.mu.Unlock()

	if p.fetcher.enabled() {
		w.Reports = p.fetcher.status()
	}

	if body, err := json.Marshal(w); err == nil && m.Reply != "" {
		_ = m.Respond(body)
	}
}

// shiftTimes adjusts the times in all lists after the clock was set back.
func (p *Poller) shiftTimes(by time.Duration) {
	p.mu.Lock()
	p.list.shift(by)
	p.rechecker.rechecks.shift(by)
	p.mu.Unlock()

	p.fetcher.shift(by)

	signal(p.wakeAsk)
	signal(p.fetcher.wakeReport)
}

// keepLeading returns an error once it is no longer certain that this worker leads and is a member,
// or once it finds that the ledger may have been created again. Until then it trims dead letters
// and repairs consumers and streams.
func (p *Poller) keepLeading(ctx context.Context) error {
	for {
		if err := pipeline.Sleep(ctx, p.config().Lease/3); err != nil {
			return err
		}

		leads, err := p.withinLease(ctx, p.Member.Leads)
		switch {
		case err != nil:
			return err
		case !leads:
			return errors.New("another worker leads")
		case !p.Member.StillMember():
			return errors.New("this worker's membership is in doubt")
		}

		trimmed, err := p.Queue.Dead().Trim(ctx)
		for _, source := range trimmed {
			p.Log.Warn().Str("source", source).Msg("the stream of dead letters was nearly full; this source had more than its share, so its oldest ones were removed")
		}
		if err != nil && ctx.Err() == nil {
			p.Log.Warn().Err(err).Msg("cannot trim dead letters")
		}

		consumers, err := p.Queue.Lanes().RepairConsumers(ctx)
		for _, name := range consumers {
			p.Log.Warn().Str("consumer", name).Msg("a consumer did not deliver all jobs, because it was changed or paused from outside or had passed over some; repaired")
		}
		if err != nil && ctx.Err() == nil {
			p.Log.Warn().Err(err).Msg("cannot check the consumers of jobs")
		}

		replaced, err := p.repairStreams(ctx)
		if err == nil && !replaced {
			replaced, err = p.finisher.published.ledgerReplaced(ctx, p.Queue)
		}
		if err != nil && ctx.Err() == nil {
			p.Log.Warn().Err(err).Msg("cannot check streams")
		}
		if replaced {
			return errors.New("the ledger may have been created again")
		}
	}
}

// repairStreams repairs the streams and buckets. It reports whether it had to.
func (p *Poller) repairStreams(ctx context.Context) (repaired bool, err error) {
	changed, err := p.Queue.Streams().Repair(ctx)
	for _, what := range changed {
		p.Log.Warn().Str("what", what).Msg("a stream or bucket was removed or changed from outside; repaired")
	}

	return len(changed) > 0, err
}

// Reconfigured applies changed settings: it checks all samples that are not pending, because their
// jobs may wait for a budget that has grown.
func (p *Poller) Reconfigured() {
	p.finisher.requeues.SetLimit(requeueRate(p.config().Rate))

	p.mu.Lock()
	started := p.list != nil // this worker leads, or has led before
	p.mu.Unlock()
	if started {
		p.finisher.scheduleChecks()
	}
	signal(p.wakeAsk)
}
