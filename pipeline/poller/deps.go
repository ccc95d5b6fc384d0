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
	// Verdicts asks about any number of hashes. Records come in any order, and may be missing.
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
	Queue    *queue.Queue
	Member   *fleet.Membership
	Pauses   *fleet.Pauses
	Verdicts VerdictClient
	Reports  ReportClient // nil: no reports are fetched
	Queries  *fleet.Quota
	Uploads  *fleet.Quota
	Shares   *fleet.Shares // of rules
	Settings *pipeline.Settings
	Log      zerolog.Logger
	Metrics  Metrics
	Spans    span.Spans
	Now      func() time.Time
	Tick     time.Duration // how often goroutines that wait for a time of day check the clock

	AwaitToken func(ctx context.Context) error // returns once a call would not fail for lack of a token
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

// shared is what the parts of a poller have in common. It is safe for concurrent use.
type shared struct {
	Deps

	taskLimit chan struct{} // bounds the tasks of async that run at a time
	tasks     sync.WaitGroup
	wakeCheck chan struct{} // capacity 1: something became due
	wakeAsk   chan struct{} // capacity 1: there is something to ask

	mu   sync.Mutex
	list *waitlist // guarded by mu
}

const (
	maxTasks = 1024

	// How many ticks may pass before the poller looks again for something to do: one minute.
	idleTicks = 60
)

// config returns the present configuration.
func (s *shared) config() pipeline.Config { return s.Settings.Now() }

// async runs f in a goroutine, of which a bounded number run at a time, without blocking the
// caller. serve waits for all of them.
func (s *shared) async(ctx context.Context, f func()) {
	s.tasks.Go(func() {
		select {
		case s.taskLimit <- struct{}{}:
			defer func() { <-s.taskLimit }()
			f()
		case <-ctx.Done():
		}
	})
}

// awaitSignal waits for a signal, but no longer than d or idleTicks, whichever is shorter.
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
