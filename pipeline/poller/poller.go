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

// Reporter is asked for documents about samples; wildfire.Client is one.
type Reporter interface {
	ReportXML(ctx context.Context, sha256 string) ([]byte, error)
	ReportPDF(ctx context.Context, sha256 string, w io.Writer) (wildfire.Download, error)
	PCAP(ctx context.Context, sha256 string, platform int, w io.Writer) (wildfire.Download, error)
}

// Deps is what a poller works with.
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
	Tick     time.Duration // how often those who wait for a time of day look at the clock

	Wait func(ctx context.Context) error // returns when a call would not fail for want of a token
}

// Metrics is what a poller counts.
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

	finishing chan struct{} // bounds the samples that are finished at a time
	finishers sync.WaitGroup
	requeues  *rate.Limiter // jobs that go back to the workers

	wakeLook chan struct{} // capacity 1: something became due
	wakeAsk  chan struct{} // capacity 1: there is something to ask

	wakeReport chan struct{} // capacity 1: there is a report to fetch or to publish

	mu    sync.Mutex
	asked map[string]*askedFor // by key
	list  *waitlist

	linksTurn bool // the last call was, or could have been, a link's

	rechecks  rechecks
	reports   *reportList
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
		requeues:  rate.NewLimiter(requeueRate(d.Settings.Now().Rate), requeuePace),
		wakeLook:  make(chan struct{}, 1),
		wakeAsk:   make(chan struct{}, 1),

		wakeReport: make(chan struct{}, 1),
	}
}

// config is what the poller goes by at this moment.
func (p *Poller) config() pipeline.Config { return p.Settings.Now() }

// requeueRate is how many jobs a second go back to the workers: enough to keep the fleet busy at its
// rate, and not so many that most of them find the budget spent and come back.
func requeueRate(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return requeuePace
	}

	return rate.Limit(min(2*perSecond, requeuePace))
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
