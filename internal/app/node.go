package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"backburn/auth"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/internal/history"
	"backburn/internal/httpserver"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
	"backburn/wildfire"
)

// Node is one Backburn process with its parts. Start creates it, Run runs it, and Close undoes
// Start if Run was never called.
type Node struct {
	cfg      config.Config                 // configuration at the start
	reloaded atomic.Pointer[config.Config] // configuration after the last reload; nil before the first
	roles    Roles
	log      zerolog.Logger
	reg      *prometheus.Registry

	health   *health.Registry
	member   *fleet.Membership
	services []*health.Transport // report whether WildFire and the token service are reachable

	guard    *guard.Guard
	nc       *nats.Conn
	queue    *queue.Queue
	status   *statusCache
	tokens   *auth.Source
	client   *wildfire.Client
	worker   *worker.Worker
	watchers []*watch.Watcher
	http     *httpserver.Server
	history  *history.Log // recent events, for the dashboard; nil without http
	api      *httpserver.Server
	intakes  []intake // servers that take in files: the HTTP API, clamd and mail
	sinks    *sinks
	traces   trace.TracerProvider // nil without tracing

	undo []func() // one function for each started part, in the order of the start
}

// guarded returns p with this process's guard and tracing.
func (n *Node) guarded(p *queue.Publisher) *queue.Publisher {
	return p.Traced(n.traces).Guarded(n.guard)
}

// intake is a server that takes in files until ctx ends. Requests in progress then get the grace
// period.
type intake interface {
	Run(ctx context.Context, grace time.Duration) error
}

// Queue returns the node's queue.
func (n *Node) Queue() *queue.Queue { return n.queue }

// Close stops the parts that Start started, in reverse order. It may be called more than once.
func (n *Node) Close() {
	for len(n.undo) > 0 {
		last := len(n.undo) - 1
		n.undo[last]()
		n.undo = n.undo[:last]
	}
}

// config returns the current configuration, including reloaded values.
func (n *Node) config() config.Config {
	if cfg := n.reloaded.Load(); cfg != nil {
		return *cfg
	}

	return n.cfg
}

// fleetProcess describes this process for the other members of the fleet.
func (n *Node) fleetProcess() fleet.Process {
	return fleet.Process{Role: n.roles.fleetRole(), Version: cli.ThisBuild().Version, Config: fingerprint(n.cfg)}
}
