package poller

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// VerdictClient asks WildFire for verdicts. wildfire.Client implements it.
type VerdictClient interface {
	// Verdicts asks about any number of hashes. Records come in any order, and may be missing.
	Verdicts(ctx context.Context, hashes []string) ([]wildfire.VerdictRecord, error)
	// URLVerdict asks about one link.
	URLVerdict(ctx context.Context, url string) (wildfire.VerdictRecord, error)
}

// Reporter fetches documents about samples; wildfire.Client implements it.
type Reporter interface {
	ReportXML(ctx context.Context, sha256 string) ([]byte, error)
	ReportPDF(ctx context.Context, sha256 string, w io.Writer) (wildfire.Download, error)
	PCAP(ctx context.Context, sha256 string, platform int, w io.Writer) (wildfire.Download, error)
}

// Deps are the dependencies of a poller.
type Deps struct {
	Queue    *queue.Queue
	Member   *fleet.Membership
	Pauses   *fleet.Pauses
	Verdicts VerdictClient
	Reports  Reporter // nil: no reports are fetched
	Queries  *fleet.Quota
	Uploads  *fleet.Quota
	Shares   *fleet.Shares // of rules
	Settings *pipeline.Settings
	Log      zerolog.Logger
	Metrics  Metrics
	Spans    span.Spans
	Now      func() time.Time
	Tick     time.Duration // how often goroutines that wait for a time of day check the clock

	Wait func(ctx context.Context) error // returns once a call would not fail for lack of a token
}

// Metrics are the poller's metrics.
type Metrics struct {
	Pending  prometheus.Gauge   // jobs that wait for a verdict
	Parked   prometheus.Gauge   // jobs that wait for a budget
	Queries  prometheus.Counter // calls that were answered
	Failed   prometheus.Counter // calls that failed
	Hashes   prometheus.Observer
	Finished func(results.Event)

	ReportsWaiting prometheus.Gauge   // samples whose report is to be fetched
	ReportsFetched prometheus.Counter // reports that were published
	ReportsMissing prometheus.Counter // reports that were given up
}

// Poller is the part of a worker that the leader runs.
type Poller struct {
	Deps

	finishing chan struct{} // bounds the samples that are finished concurrently
	finishers sync.WaitGroup
	requeues  *rate.Limiter // jobs to requeue

	wakeCheck chan struct{} // capacity 1: something became due
	wakeAsk   chan struct{} // capacity 1: there is something to ask

	wakeReport chan struct{} // capacity 1: there is a report to fetch or to publish

	mu    sync.Mutex
	asked map[string]*workerQuestion // by key
	list  *waitlist

	linksTurn bool // the last call was, or could have been, for a link

	rechecks  rechecks
	reports   *reportList
	published mark
	term      string // of our leadership; each leadership has a new one
}

// workerQuestion is a question, and the inboxes of the workers that want the answer.
type workerQuestion struct {
	Question
	inboxes map[string]bool
	inCall  bool // it is part of the current call
}

const (
	maxFinishing = 1024
	requeuePace  = 64 // per second, at most

	// How soon a sample that waits for budget is checked again on the same day. Only workers that
	// stop return budget, and new jobs may use that first, so little is to be gained by a short
	// interval.
	spentRetry = 15 * time.Minute
)

// New makes a poller. It does nothing until Run.
func New(d Deps) *Poller {
	d.Log = d.Log.With().Str("part", "poller").Logger()

	return &Poller{
		Deps:      d,
		finishing: make(chan struct{}, maxFinishing),
		requeues:  rate.NewLimiter(requeueRate(d.Settings.Now().Rate), requeuePace),
		wakeCheck: make(chan struct{}, 1),
		wakeAsk:   make(chan struct{}, 1),

		wakeReport: make(chan struct{}, 1),
	}
}

// config is what the poller goes by at this moment.
func (p *Poller) config() pipeline.Config { return p.Settings.Now() }

// requeueRate is how many jobs per second are requeued: enough to keep the fleet busy at its rate,
// but not so many that most of them find the budget spent and are parked again.
func requeueRate(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return requeuePace
	}

	return rate.Limit(min(2*perSecond, requeuePace))
}

// async runs f in a goroutine, of which a bounded number run at a time, without blocking the
// caller. serve waits for all of them.
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
