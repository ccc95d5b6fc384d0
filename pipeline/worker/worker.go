package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
)

// Worker fetches jobs from the lanes, and works on each until it is done, waits, is parked, or has
// to be redelivered. One worker of the fleet, the leader, also runs the poller, which ends or
// requeues the waiting jobs. Any number of workers, in any number of processes, share one queue.
type Worker struct {
	*shared
	examiner *examiner
	uploader *uploader
	client   *poller.Client
	poller   *poller.Poller
	leases   *leases

	reconfigured chan struct{} // signals that the configured rate may have changed; capacity 1

	jobs sync.WaitGroup // deliveries in progress
}

// Option changes how a worker is made.
type Option func(*options)

// WithTokens lets the worker wait for a missing token. Without it, the worker retries after a
// delay.
func WithTokens(t Tokens) Option { return func(o *options) { o.tokens = t } }

// WithGuard sets the guard: files that it recognizes, and contents with a secret that it knows, are
// not uploaded. Without it, nothing is recognized.
func WithGuard(g *guard.Guard) Option { return func(o *options) { o.guard = g } }

type options struct {
	poller.Deps
	guard   *guard.Guard
	tokens  Tokens
	reg     prometheus.Registerer
	traces  trace.TracerProvider
	health  *health.Registry
	process fleet.Process
}

// WithReports sets the client that fetches reports; without it none are fetched.
func WithReports(r poller.ReportClient) Option { return func(o *options) { o.Reports = r } }

// WithLogger sets the logger; without it the worker logs nothing.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.Log = l } }

// WithMetrics sets the registry for metrics; without it they are not registered.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.reg = r } }

// WithTracing sets the provider of spans; without it, or with nil, there are none, and events carry
// no traceparent.
func WithTracing(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithHealth sets the registry to which the worker reports paused budgets, and the sources whose
// contents it cannot reach. Without it the worker uses a registry of its own.
func WithHealth(r *health.Registry) Option { return func(o *options) { o.health = r } }

// WithProcess sets how this process appears in the fleet; without it the role is "worker". New
// replaces its Slots with the configured concurrency.
func WithProcess(p fleet.Process) Option { return func(o *options) { o.process = p } }

// WithClock sets the clock on which quotas, the age of verdicts and schedules depend.
func WithClock(now func() time.Time) Option { return func(o *options) { o.Now = now } }

// WithTick sets how often goroutines that wait for a time of day check the clock. A timer alone is
// not enough: it does not notice that the clock was set or the machine was suspended. The default
// is one second. A test clock that runs faster needs a shorter tick.
func WithTick(d time.Duration) Option { return func(o *options) { o.Tick = d } }

const defaultTick = time.Second
