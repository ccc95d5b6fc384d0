package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"backburn/wildfire"
)

// Oracle is asked for verdicts; wildfire.Client is one.
type Oracle interface {
	// Verdicts asks about any number of hashes. Records come in any order, and may be missing.
	Verdicts(ctx context.Context, hashes []string) ([]wildfire.VerdictRecord, error)
	// URLVerdict asks about one link.
	URLVerdict(ctx context.Context, url string) (wildfire.VerdictRecord, error)
}

// batcher asks WildFire for verdicts on behalf of the whole fleet: what workers ask before
// they upload, and what jobs in WAITING are due for, in one call of up to 500
// hashes, as often as the query budget allows. One worker of the fleet holds its seat;
// all that it knows can be read again from WAITING and the samples by the next one.
type batcher struct {
	q       *Queue
	fleet   *fleet
	pauses  *pauses
	oracle  Oracle
	queries *ledger
	uploads *ledger
	cfg     Config
	log     zerolog.Logger
	m       *workerMetrics
	tracing tracing
	now     func() time.Time
	tick    time.Duration // see WithTick

	settling chan struct{} // bounds the samples that are settled at a time
	settlers sync.WaitGroup
	requeues *rate.Limiter // jobs that go back to JOBS

	wakeLook chan struct{} // capacity 1: something became due
	wakeAsk  chan struct{} // capacity 1: there is something to ask

	mu    sync.Mutex
	asked map[string]*askedFor // by key
	list  *waitlist
	toAsk map[string]*waiting // due, and known to be pending at WildFire

	linksTurn bool // the last call was, or could have been, a link's

	rechecks rechecks
	recent   recent
}

// askedFor is a question of a worker, and the inboxes that want the answer.
type askedFor struct {
	question
	inboxes map[string]bool
	taken   bool // it is in the call that is under way
}

const (
	settleAtOnce = 16
	requeuePace  = 64 // per second, at most

	// How soon a sample that waits for budget is looked at again on the same day: what is
	// given back by a worker that stops, and does not serve new jobs, is little.
	spentPatience = 15 * time.Minute

	// How long "unknown" just after our own submission means no more than "not yet".
	unknownGrace = 5 * time.Minute
)

// News that stops coming is noticed soon: the client's own defaults are ten times as long.
const (
	newsExpiry    = jetstream.PullExpiry(5 * time.Second)
	newsHeartbeat = jetstream.PullHeartbeat(time.Second)
)

func newBatcher(w *Worker) *batcher {
	return &batcher{
		q: w.q, fleet: w.fleet, pauses: w.pauses, oracle: w.oracle, queries: w.queries, uploads: w.uploads,
		cfg: w.cfg, log: w.log.With().Str("part", "batcher").Logger(), m: w.metrics, tracing: w.tracing, now: w.now, tick: w.tick,
		settling: make(chan struct{}, settleAtOnce),
		requeues: rate.NewLimiter(requeues(w.cfg.Rate), requeuePace),
		wakeLook: make(chan struct{}, 1),
		wakeAsk:  make(chan struct{}, 1),
	}
}

// requeues is how many jobs a second go back to JOBS: enough to keep the fleet busy at its rate,
// and not so many that most of them find the budget spent and come back.
func requeues(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return requeuePace
	}
	return rate.Limit(min(2*perSecond, requeuePace))
}

// run competes for the seat until ctx ends, and serves while it holds it.
func (b *batcher) run(ctx context.Context) error {
	for {
		ok, err := b.fleet.takeSeat(ctx)
		if ok {
			if err = b.serve(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn().Err(err).Msg("the batcher lost its footing and starts again")
			}
		}
		if ctx.Err() != nil {
			lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			b.fleet.leaveSeat(lctx)
			return nil
		}
		wait := b.cfg.Lease / 3
		if err != nil {
			wait = time.Second
		}
		if sleep(ctx, wait) != nil {
			continue
		}
	}
}

// serve does the batcher's work until ctx ends, or until the seat is not surely ours.
func (b *batcher) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.fleet.setBatcher(true)
	defer b.fleet.setBatcher(false)

	b.mu.Lock()
	b.asked, b.list, b.toAsk = map[string]*askedFor{}, newWaitlist(), map[string]*waiting{}
	b.rechecks, b.recent = rechecks{after: b.cfg.Recheck}, recent{}
	b.mu.Unlock()

	changes, err := b.follow(ctx)
	if err != nil {
		return err
	}
	defer changes.Stop()
	oc, err := b.q.waiting.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("read waiting jobs: %w", err)
	}
	arrivals, err := oc.Consume(b.arrived, newsExpiry, newsHeartbeat)
	if err != nil {
		return fmt.Errorf("read waiting jobs: %w", err)
	}
	defer arrivals.Stop()
	sub, err := b.q.nc.Subscribe(b.q.askSubject(), b.question)
	if err != nil {
		return fmt.Errorf("subscribe to questions: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	b.log.Debug().Msg("this worker is the batcher")

	defer b.settlers.Wait()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.lookLoop(ctx) })
	g.Go(func() error { return b.askLoop(ctx) })
	g.Go(func() error { return b.keepSeat(ctx) })
	return g.Wait()
}

// keepSeat ends the service when our membership is in doubt, or the seat another's.
func (b *batcher) keepSeat(ctx context.Context) error {
	for {
		if err := sleep(ctx, b.cfg.Lease/3); err != nil {
			return err
		}
		s, _, err := control[seat](ctx, b.q, seatKey)
		if err != nil {
			return err
		}
		if s.Owner != b.fleet.self.ID {
			return errors.New("another worker took the batcher's seat")
		}
		if !b.fleet.sure() {
			return errors.New("this worker's membership is in doubt")
		}
	}
}

// question takes a worker's questions.
func (b *batcher) question(m *nats.Msg) {
	var qs []question
	if m.Reply == "" || json.Unmarshal(m.Data, &qs) != nil || len(qs) > maxAsk {
		return
	}
	b.mu.Lock()
	for _, qn := range qs {
		a := b.asked[qn.Key]
		if a == nil {
			a = &askedFor{question: qn, inboxes: map[string]bool{}}
			b.asked[qn.Key] = a
		}
		a.Urgent = a.Urgent || qn.Urgent
		a.inboxes[m.Reply] = true
	}
	b.mu.Unlock()
	signal(b.wakeAsk)
}

// arrived notes a job in WAITING. Its sample is looked at right away, since it may have
// been decided while the job was on its way here.
func (b *batcher) arrived(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return
	}
	tokens := strings.Split(m.Subject(), ".")
	lane, _, ok := b.q.parseJobSubject(m.Headers().Get(HeaderSubject))
	if !ok || len(tokens) < 4 {
		return
	}
	key := tokens[len(tokens)-2]
	b.mu.Lock()
	e := b.list.add(key, waitingJob{subject: m.Subject(), seq: meta.Sequence.Stream, lane: lane}, meta.Timestamp)
	e.again = e.busy
	if !e.pending {
		b.list.schedule(e, b.now())
	}
	b.mu.Unlock()
	signal(b.wakeLook)
}
