package poller

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// VerdictClient asks WildFire for verdicts. wildfire.Client implements it.
type VerdictClient interface {
	// Verdicts asks about any number of hashes. The records may be in any order, and some may be
	// missing.
	Verdicts(ctx context.Context, hashes []string) ([]wildfire.VerdictRecord, error)
	// URLVerdict asks about one link.
	URLVerdict(ctx context.Context, url string) (wildfire.VerdictRecord, error)
}

// ReportClient fetches documents about samples; wildfire.Client implements it.
type ReportClient interface {
	ReportXML(ctx context.Context, sha256 string) ([]byte, error)
	ReportPDF(ctx context.Context, sha256 string, w io.Writer) (wildfire.Download, error)
	PCAP(ctx context.Context, sha256 string, platform int, w io.Writer) (wildfire.Download, error)
}

// Deps are the dependencies of a poller.
type Deps struct {
	Queue       *queue.Queue
	Member      *fleet.Membership
	Pauses      *fleet.Pauses
	Verdicts    VerdictClient
	Reports     ReportClient // nil: no reports are fetched
	Queries     *fleet.Quota
	Uploads     *fleet.Quota
	RuleBudgets *fleet.RuleBudgets // budgets of the policy's rules
	Settings    *pipeline.Settings
	Log         zerolog.Logger
	Metrics     Metrics
	Spans       span.Spans
	Now         func() time.Time

	// Tick is the interval at which goroutines that wait for a time of day check the clock, and the
	// unit of all constants in ticks. It is normally one second.
	Tick time.Duration

	// AwaitToken is called after a call that failed for lack of an access token. It returns when
	// the next call may have one.
	AwaitToken func(ctx context.Context) error
}

// Metrics are the poller's metrics.
type Metrics struct {
	Pending  prometheus.Gauge    // jobs that wait for a verdict
	Parked   prometheus.Gauge    // jobs that are parked
	Queries  prometheus.Counter  // calls for verdicts that were answered
	Failed   prometheus.Counter  // calls for verdicts, reports or documents that failed
	Hashes   prometheus.Observer // hashes in a call for verdicts that was answered
	Finished func(results.Event) // is called with the final event of each job that the poller ends without an error

	ReportsWaiting prometheus.Gauge   // samples whose report is to be fetched
	ReportsFetched prometheus.Counter // reports that were fetched and published
	ReportsMissing prometheus.Counter // reports that were given up
}

// shared is what the parts of a poller have in common. Among other things, its mutex guards the
// three lists from which a call to WildFire takes what it asks about: list, querier.questions and
// rechecker.rechecks.
type shared struct {
	Deps

	taskLimit chan struct{} // holds one element for each goroutine of async; its capacity is maxTasks
	tasks     sync.WaitGroup
	wakeCheck chan struct{} // wakes checkLoop: the times at which samples are due changed; capacity 1
	wakeAsk   chan struct{} // wakes askLoop: there may be something to ask; capacity 1

	mu   sync.Mutex
	list *waitlist // guarded by mu
}

const (
	maxTasks = 1024 // the largest number of goroutines that async runs at a time

	// The longest wait of awaitSignal, in ticks. A tick is normally one second.
	idleTicks = 60
)

// config returns the current configuration.
func (s *shared) config() pipeline.Config { return s.Settings.Current() }

// async runs f in a goroutine. It first waits until fewer than maxTasks such goroutines run; if ctx
// ends meanwhile, it does not call f. f must not call async.
func (s *shared) async(ctx context.Context, f func()) {
	select {
	case s.taskLimit <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.tasks.Go(func() {
		defer func() { <-s.taskLimit }()
		f()
	})
}

// awaitSignal waits for a signal, but no longer than d, and no longer than idleTicks.
func (s *shared) awaitSignal(ctx context.Context, wake <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(min(max(d, time.Millisecond), idleTicks*s.Tick))
	defer t.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-t.C:
	}

	return nil
}
