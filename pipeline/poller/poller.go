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
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// Oracle is asked for verdicts; wildfire.Client is one.
type Oracle interface {
	// Verdicts asks about any number of hashes. Records come in any order, and may be missing.
	Verdicts(ctx context.Context, hashes []string) ([]wildfire.VerdictRecord, error)
	// URLVerdict asks about one link.
	URLVerdict(ctx context.Context, url string) (wildfire.VerdictRecord, error)
}

// Deps is what a poller works with.
type Deps struct {
	Queue   *queue.Queue
	Member  *fleet.Membership
	Pauses  *fleet.Pauses
	Oracle  Oracle
	Queries *fleet.Quota
	Uploads *fleet.Quota
	Config  pipeline.Config
	Log     zerolog.Logger
	Metrics Metrics
	Spans   span.Spans
	Now     func() time.Time
	Tick    time.Duration // how often those who wait for a time of day look at the clock

	Wait func(ctx context.Context) error // returns when a call would not fail for want of a token
}

// Metrics is what a poller counts.
type Metrics struct {
	Pending  prometheus.Gauge   // jobs that wait for a verdict
	Parked   prometheus.Gauge   // jobs that wait for a budget
	Queries  prometheus.Counter // calls
	Hashes   prometheus.Observer
	Finished func(results.Event)
}

// Poller is the part of a worker that the leader runs.
type Poller struct {
	Deps

	finishing chan struct{} // bounds the samples that are finished at a time
	finishers sync.WaitGroup
	requeues  *rate.Limiter // jobs that go back to the workers

	wakeLook chan struct{} // capacity 1: something became due
	wakeAsk  chan struct{} // capacity 1: there is something to ask

	mu    sync.Mutex
	asked map[string]*askedFor // by key
	list  *waitlist
	toAsk map[string]*waiting // due, and known to be pending at WildFire

	linksTurn bool // the last call was, or could have been, a link's

	rechecks  rechecks
	published mark
	term      string // of our leadership; another when we lead again
}

// askedFor is a question of a worker, and the inboxes that want the answer.
type askedFor struct {
	Question
	inboxes map[string]bool
	taken   bool // it is in the call that is under way
}

const (
	finishAtOnce = 1024
	requeuePace  = 64 // per second, at most

	// How soon a sample that waits for budget is looked at again on the same day: what is given
	// back by a worker that stops, and does not serve new jobs, is little.
	spentPatience = 15 * time.Minute
)

// New makes a poller. It does nothing until Run.
func New(d Deps) *Poller {
	d.Log = d.Log.With().Str("part", "poller").Logger()

	return &Poller{
		Deps:      d,
		finishing: make(chan struct{}, finishAtOnce),
		requeues:  rate.NewLimiter(requeueRate(d.Config.Rate), requeuePace),
		wakeLook:  make(chan struct{}, 1),
		wakeAsk:   make(chan struct{}, 1),
	}
}

// requeueRate is how many jobs a second go back to the workers: enough to keep the fleet busy at its
// rate, and not so many that most of them find the budget spent and come back.
func requeueRate(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return requeuePace
	}

	return rate.Limit(min(2*perSecond, requeuePace))
}

// Run competes for leadership until ctx ends, and serves while it leads.
func (p *Poller) Run(ctx context.Context) error {
	for {
		leads, err := p.Member.Lead(ctx)
		if leads {
			if err = p.serve(ctx); err != nil && ctx.Err() == nil {
				p.Log.Warn().Err(err).Msg("poller stopped unexpectedly; restarting")
			}
		}

		if ctx.Err() != nil {
			lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			p.Member.StepDown(lctx)
			return nil
		}

		wait := p.Config.Lease / 3
		if err != nil {
			wait = time.Second
		}
		_ = fleet.Sleep(ctx, wait)
	}
}

// serve does the leader's work until ctx ends, or until leadership is not surely ours.
func (p *Poller) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.Member.SetLeader(true)
	defer p.Member.SetLeader(false)

	p.mu.Lock()
	p.asked = map[string]*askedFor{}
	p.list = newWaitlist()
	p.toAsk = map[string]*waiting{}
	p.rechecks = rechecks{after: p.Config.Recheck}
	p.term = nuid.Next()
	p.mu.Unlock()

	if err := p.published.load(ctx, p.Queue); err != nil {
		return err
	}

	stop, err := p.subscribe(ctx)
	defer stop()
	if err != nil {
		return err
	}
	p.Log.Debug().Msg("this worker leads")

	defer p.finishers.Wait()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.lookLoop(ctx) })
	g.Go(func() error { return p.askLoop(ctx) })
	g.Go(func() error { return p.keepLeading(ctx) })
	g.Go(func() error { return p.published.keep(ctx, p.Queue) })
	g.Go(func() error { return p.Uploads.WatchReturns(ctx, p.lookAgain) })

	return g.Wait()
}

// subscribe begins to hear of what a leader hears of.
func (p *Poller) subscribe(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}

	for subject, handle := range map[string]nats.MsgHandler{
		p.Queue.AskSubject():     p.question,
		p.Queue.ChangedSubject(): p.sampleChanged,
		p.Queue.WaitingSubject(): p.tellWaiting,
	} {
		sub, err := p.Queue.Conn().Subscribe(subject, handle)
		if err != nil {
			return stop, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		stops = append(stops, func() { _ = sub.Unsubscribe() })
	}

	if after := p.rechecks.after; after > 0 {
		s, err := p.Queue.FollowSamples(ctx, p.Now().Add(-after), p.sampleWritten)
		if err != nil {
			return stop, err
		}
		stops = append(stops, s)
	}

	s, err := p.Queue.FollowJobs(ctx, func(r queue.JobRecord) { p.jobWritten(ctx, r) })
	if err != nil {
		return stop, err
	}
	stops = append(stops, s)

	return stop, nil
}

// keepLeading ends the service when our membership is in doubt, or another leads. Meanwhile it
// keeps the streams as they should be.
func (p *Poller) keepLeading(ctx context.Context) error {
	for {
		if err := fleet.Sleep(ctx, p.Config.Lease/3); err != nil {
			return err
		}

		leads, err := p.Member.Leads(ctx)
		switch {
		case err != nil:
			return err
		case !leads:
			return errors.New("another worker leads")
		case !p.Member.Sure():
			return errors.New("this worker's membership is in doubt")
		}

		changed, err := p.Queue.Repair(ctx)
		for _, what := range changed {
			p.Log.Warn().Str("what", what).Msg("stream or bucket was removed or changed from outside; put right")
		}
		switch {
		case err != nil && ctx.Err() == nil:
			p.Log.Warn().Err(err).Msg("streams cannot be checked")
		case len(changed) > 0:
			return errors.New("the ledger may have been made anew")
		}
	}
}

// question takes a worker's questions.
func (p *Poller) question(m *nats.Msg) {
	var questions []Question
	if m.Reply == "" || json.Unmarshal(m.Data, &questions) != nil || len(questions) > wildfire.MaxHashes {
		return
	}

	p.mu.Lock()
	for _, q := range questions {
		a := p.asked[q.Key]
		if a == nil {
			a = &askedFor{Question: q, inboxes: map[string]bool{}}
			p.asked[q.Key] = a
		}
		a.Urgent = a.Urgent || q.Urgent
		a.inboxes[m.Reply] = true
	}
	p.mu.Unlock()

	signal(p.wakeAsk)
}

// tellWaiting answers what waits.
func (p *Poller) tellWaiting(m *nats.Msg) {
	p.mu.Lock()
	w := p.list.waiters()
	p.mu.Unlock()

	if body, err := json.Marshal(w); err == nil && m.Reply != "" {
		_ = m.Respond(body)
	}
}

// jobWritten takes note of what the ledger says of a job. Where that does not say that WildFire has
// the sample, it is looked at right away: it may have been decided meanwhile.
func (p *Poller) jobWritten(ctx context.Context, r queue.JobRecord) {
	if r.State == queue.JobDone && r.By != "" && r.By != p.term && r.Seq > p.published.from {
		published := p.published.begin() // before the record is seen: the mark stays behind it
		p.async(ctx, func() { p.republish(ctx, r.Subject, published) })
	}
	p.published.saw(r.Seq)

	if r.State == queue.JobDone && r.By != p.term {
		p.forgetJob(r)
	}
	if r.State != queue.JobWaiting || !r.Priority.Valid() || r.Sample == "" {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	e := p.list.add(r.Sample, newWaitingJob(r), r.Time)
	e.again = e.busy
	switch {
	case !r.Pending.IsZero() && !e.busy:
		e.pending = true
		e.submitted = r.Pending
		due := p.Config.Schedule().Next(e.submitted, p.Now())
		p.list.schedule(e, p.soonest(due, e.submitted))
		if e.pos != 0 {
			return // not the first that is due
		}
	case !e.pending:
		p.list.schedule(e, p.Now())
	}
	signal(p.wakeLook)
}

// forgetJob forgets a job that somebody else ended.
func (p *Poller) forgetJob(r queue.JobRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if e := p.list.entries[r.Sample]; e != nil {
		if j, known := e.jobs.get(r.Subject); known && j.seq < r.Seq {
			p.list.remove(e, j)
		}
	}
}

// sampleChanged makes the jobs due that wait for a sample which a worker changed.
func (p *Poller) sampleChanged(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()

	e := p.list.entries[string(m.Data)]
	if e == nil {
		return
	}

	e.again = e.busy
	if !e.busy {
		e.pending = false
		delete(p.toAsk, e.key)
		p.list.schedule(e, p.Now())
		signal(p.wakeLook)
	}
}

// signal wakes whoever waits on a channel of capacity one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// async runs f when it is its turn among a bounded number of others, and does not keep the caller;
// serve waits for them all.
func (p *Poller) async(ctx context.Context, f func()) {
	p.finishers.Go(func() {
		select {
		case p.finishing <- struct{}{}:
			defer func() { <-p.finishing }()
			f()
		case <-ctx.Done():
		}
	})
}
