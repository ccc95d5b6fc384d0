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

// Submitter takes uploads; wildfire.Client is one.
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

	tokens   Tokens // nil where nobody tells
	limiter  *rate.Limiter
	turns    *turns
	slots    *slots // uploads
	leases   *leases
	claims   *claims
	sources  *sources
	progress *progress
	breaker  breaker
	refusals pipeline.Refusals
	guard    *guard.Guard // nil lets everything leave

	reconfigured chan struct{} // capacity 1: the rate may be another

	jobs sync.WaitGroup // deliveries that are worked on
}

// Option changes how a worker is made.
type Option func(*options)

// Tokens tells when a token can be had; auth.Source is one.
type Tokens interface {
	// WaitReady returns when a call would not fail for want of a token, or with ctx's error.
	WaitReady(ctx context.Context) error
}

// WithTokens lets the worker wait for a token where one is missing; without it, it tries again
// after a while.
func WithTokens(t Tokens) Option { return func(o *options) { o.tokens = t } }

// WithGuard lets nothing of Backburn's own leave: what is, or holds, what g knows is withheld.
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

// WithReports sets who is asked for reports; without it none are fetched.
func WithReports(r poller.Reporter) Option { return func(o *options) { o.reports = r } }

// WithLogger sets the logger; without it the worker is silent.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics sets where metrics are registered; without it they are not.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.reg = r } }

// WithTracing sets where spans go; without it, or with nil, there are none, and events carry no
// traceparent.
func WithTracing(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithHealth sets the registry to which the worker reports: the sources whose contents it cannot reach, and
// the budgets that are stopped. Without it there is one of its own.
func WithHealth(r *health.Registry) Option { return func(o *options) { o.health = r } }

// WithProcess says as what the worker joins the fleet; without it as "worker". Its slots are the worker's.
func WithProcess(p fleet.Process) Option { return func(o *options) { o.process = p } }

// WithClock sets what tells the time of day, on which quotas, verdicts' ages and schedules depend.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithTick sets how often those who wait for a time of day look at the clock: a second, since
// clocks are set, and machines are suspended, without a timer noticing. A clock that runs
// faster than time needs less.
func WithTick(d time.Duration) Option { return func(o *options) { o.tick = d } }

const defaultTick = time.Second

// config is what the worker goes by at this moment.
func (w *Worker) config() pipeline.Config { return w.settings.Now() }

// policy is what Decide goes by.
func (w *Worker) policy(d *delivery) pipeline.Policy {
	return pipeline.Policy{Config: w.config(), Ruling: d.ruling, Self: w.member.ID(), Random: rand.Float64()}
}
