package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/span"
	"backburn/wildfire"
)

// Submitter uploads files and links; wildfire.Client implements it.
type Submitter interface {
	SubmitFile(ctx context.Context, f wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error)
	SubmitLink(ctx context.Context, link string) (wildfire.LinkSubmission, error)
}

// Worker fetches jobs from the lanes and brings each to its final event. Any number of workers, in
// any number of processes, share one queue.
type Worker struct {
	q         *queue.Queue
	settings  *pipeline.Settings
	submitter Submitter
	log       zerolog.Logger
	metrics   *metrics
	spans     span.Spans
	now       func() time.Time

	member  *fleet.Membership
	pauses  *fleet.Pauses
	uploads *fleet.Quota
	queries *fleet.Quota
	shares  *fleet.Shares // of rules
	client  *poller.Client
	poller  *poller.Poller

	tokens   Tokens // nil without WithTokens
	limiter  *rate.Limiter
	turns    *claimTurns
	slots    *slots // uploads
	leases   *leases
	claims   *claims
	sources  *sources
	progress *progress
	breaker  breaker
	refusals pipeline.Refusals
	guard    *guard.Guard // nil: no guard

	reconfigured chan struct{} // capacity 1: the rate may be another

	jobs sync.WaitGroup // deliveries in progress
}

// Option changes how a worker is made.
type Option func(*options)

// Tokens says when a token is available; auth.Source implements it.
type Tokens interface {
	// WaitReady returns nil once a call would not fail for lack of a token, or ctx's error.
	WaitReady(ctx context.Context) error
}

// WithTokens lets the worker wait for a missing token. Without it, the worker retries after a
// delay.
func WithTokens(t Tokens) Option { return func(o *options) { o.tokens = t } }

// WithGuard withholds Backburn's own files and all contents with a secret that g knows.
func WithGuard(g *guard.Guard) Option { return func(o *options) { o.guard = g } }

type options struct {
	guard  *guard.Guard
	tokens Tokens
	log    zerolog.Logger
	reg    prometheus.Registerer
	traces trace.TracerProvider
	now    func() time.Time
	tick   time.Duration

	reports poller.Reporter
	health  *health.Registry
	process fleet.Process
}

// WithReports sets the client that fetches reports; without it none are fetched.
func WithReports(r poller.Reporter) Option { return func(o *options) { o.reports = r } }

// WithLogger sets the logger; without it the worker logs nothing.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics sets the registry for metrics; without it they are not registered.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.reg = r } }

// WithTracing sets the provider of spans; without it, or with nil, there are none, and events carry
// no traceparent.
func WithTracing(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithHealth sets the registry to which the worker reports: the sources whose contents it cannot
// reach, and the budgets that are stopped. Without it the worker uses a registry of its own.
func WithHealth(r *health.Registry) Option { return func(o *options) { o.health = r } }

// WithProcess sets the process that joins the fleet; without it the role is "worker". Its slots are
// the worker's.
func WithProcess(p fleet.Process) Option { return func(o *options) { o.process = p } }

// WithClock sets the clock on which quotas, the age of verdicts and schedules depend.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithTick sets how often goroutines that wait for a time of day check the clock. The default is
// one second, because timers do not notice that a clock was set or a machine suspended. A test
// clock that runs faster needs a shorter tick.
func WithTick(d time.Duration) Option { return func(o *options) { o.tick = d } }

const defaultTick = time.Second

// config is what the worker goes by at this moment.
func (w *Worker) config() pipeline.Config { return w.settings.Now() }

// policy returns the policy for Decide.
func (w *Worker) policy(d *delivery) pipeline.Policy {
	return pipeline.Policy{Config: w.config(), Ruling: d.ruling, Self: w.member.ID(), Random: rand.Float64()}
}
