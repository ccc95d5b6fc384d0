package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"backburn/auth"
	"backburn/auth/natsbucket"
	"backburn/internal/admin"
	"backburn/internal/clamd"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/internal/history"
	"backburn/internal/httpserver"
	"backburn/internal/mail"
	"backburn/internal/natsconn"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
	"backburn/wildfire"
)

// Roles are what a process does.
type Roles struct {
	Watch bool // the folders
	Work  bool // uploads and verdicts
	API   bool // the HTTP API, where one is configured
	Clamd bool // the protocol of clamd, likewise
	Mail  bool // the filter for mail, likewise
	Sinks bool // hands events on, where sinks are configured

	// MaxStore is how much the server may store, in bytes, where that is known; 0 where it isn't.
	MaxStore config.Size

	// Version is that of the binary.
	Version string

	// Reload is how the configuration is read again at SIGHUP; nil: not at all.
	Reload *cli.Reload

	// Report has the health registry told of more that the process needs, such as its own NATS
	// server; nil for nothing.
	Report func(*health.Registry)
}

// process is what the process is called among those of the fleet.
func (r Roles) process() string {
	switch {
	case r.Work && r.Watch:
		return "run"
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	case r.API:
		return "api"
	case r.Clamd:
		return "clamd"
	case r.Mail:
		return "mail"
	}
	return "sink"
}

// Parts is what the configuration of the process is validated for.
func (r Roles) Parts() config.Part { return config.Processes[r.process()] }

// name is the role for which the process has its NATS permissions; a worker's include those of
// a watcher.
func (r Roles) name() string {
	switch {
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	}
	return "api"
}

// Node is a process of the system. Start makes it, Run lets it work, and Close undoes
// Start where Run was never called.
type Node struct {
	cfg   config.Config                 // of the start
	live  atomic.Pointer[config.Config] // of the last reload; nil before
	roles Roles
	log   zerolog.Logger
	reg   *prometheus.Registry

	health  *health.Registry
	member  *fleet.Membership
	looking []*health.Transport // of services that may be out of reach

	guard    *guard.Guard
	nc       *nats.Conn
	queue    *queue.Queue
	status   *statusCache
	tokens   *auth.Source
	client   *wildfire.Client
	worker   *worker.Worker
	watchers []*watch.Watcher
	http     *httpserver.Server
	history  *history.Log // of the dashboard; nil without http
	api      *httpserver.Server
	clamd    *clamd.Server
	mail     *mail.Server
	sinks    *sinks
	traces   trace.TracerProvider // nil for none

	undo []func() // in the order of starting
}

// How long JetStream may take to be there at a start, and requests to end at a stop.
const (
	openTimeout = time.Minute
	httpGrace   = 2 * time.Second
)

// Start brings the parts up to the point where they can work: the streams are there, addresses are
// bound, credentials can be read. What it has begun it undoes when it fails. ctx bounds the start
// alone.
func Start(ctx context.Context, cfg config.Config, roles Roles, log zerolog.Logger) (*Node, error) {
	n := &Node{cfg: cfg, roles: roles, log: log, reg: prometheus.NewRegistry()}
	n.sinks = &sinks{node: n}
	n.health = health.New(log.With().Str("component", "health").Logger())
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		n.health, buildInfo(roles))
	if roles.Report != nil {
		roles.Report(n.health)
	}
	if err := n.start(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// start is the order in which the parts need each other.
func (n *Node) start(ctx context.Context) error {
	if err := n.startTracing(ctx); err != nil {
		return err
	}
	n.startGuard()
	if err := n.connect(ctx); err != nil {
		return err
	}
	if n.roles.Work {
		if err := n.startWorker(ctx); err != nil {
			return err
		}
	}
	if err := n.join(); err != nil {
		return err
	}
	if n.roles.Watch {
		if err := n.startWatchers(); err != nil {
			return err
		}
	}
	if n.roles.API && n.cfg.API.Listen != "" {
		if err := n.startAPI(); err != nil {
			return err
		}
	}
	if n.roles.Clamd && n.cfg.Clamd.Listen != "" {
		if err := n.startClamd(); err != nil {
			return err
		}
	}
	if n.roles.Mail && n.cfg.Mail.Listen != "" {
		if err := n.startMail(); err != nil {
			return err
		}
	}
	if n.roles.Sinks {
		if err := n.startSinks(); err != nil {
			return err
		}
	}
	return n.startHTTP()
}

// startGuard makes what knows Backburn's own files and secrets.
func (n *Node) startGuard() {
	n.guard = guard.New(n.cfg.Guarded())
	n.reg.MustRegister(n.guard)
	if short := n.guard.Short(); len(short) > 0 {
		n.log.Info().Strs("keys", short).Int("min_length", guard.MinSecret).
			Msg("these secrets are too short to be looked for in contents")
	}
}

// publisher submits what this process was given, and looks at it.
func (n *Node) publisher(p *queue.Publisher) *queue.Publisher {
	return p.Traced(n.traces).Guarded(n.guard)
}

func (n *Node) connect(ctx context.Context) error {
	role := n.roles.name()
	nc, err := natsconn.Connect(n.cfg.NATS, "backburn "+role, n.log.With().Str("component", "nats").Logger(),
		natsconn.Inbox(n.cfg.NATS.Prefix, role))
	if err != nil {
		return err
	}
	n.nc = nc
	n.health.Func("nats", "", natsconn.Health(nc))
	n.undo = append(n.undo, nc.Close)
	if err := n.reg.Register(connected(nc)); err != nil {
		return err
	}
	octx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	topology := Topology(n.cfg)
	if n.roles.MaxStore > 0 {
		topology = fit(topology, n.roles.MaxStore.Bytes(), n.log)
	}
	// The worker is the one that makes the queue and brings it up to date with the configuration.
	open := queue.AttachOrOpen
	if n.roles.Work {
		open = queue.Open
	}
	if n.queue, err = open(octx, nc, topology); err != nil {
		return err
	}
	n.queue.NoLedger = role == "watcher"
	n.status = newStatusCache(func(ctx context.Context) (queue.Status, error) {
		wcfg, err := WorkerConfig(n.config())
		if err != nil {
			return queue.Status{}, err
		}
		return n.queue.Status(ctx, wcfg)
	})
	return nil
}

// startWorker makes the token, the client, and the worker that uses them.
func (n *Node) startWorker(ctx context.Context) error {
	wcfg, err := WorkerConfig(n.cfg)
	if err != nil {
		return err
	}
	ccfg := WildFireConfig(n.cfg)
	transport, err := wildfire.NewTransport(ccfg.Network)
	if err != nil {
		return fmt.Errorf("wildfire: %w", err)
	}
	profile := n.cfg.WildFire.Auth
	var mint http.RoundTripper = transport
	if n.cfg.Auth[profile].Kind != auth.KindAPIKey {
		mint = n.reach(transport, health.Service{
			Part: n.health.Unknown("token_service", profile),
			Name: "the token service",
			Key:  "auth." + profile + ".token_url",
		})
	}
	if n.tokens, err = Tokens(ctx, n.cfg, profile, n.queue, mint, n.log, n.reg); err != nil {
		return err
	}
	n.health.Func("token", profile, func() error { return tokenFault(n.tokens.Status()) })
	n.undo = append(n.undo, func() { _ = n.tokens.Close() })
	ccfg.Transport = n.reach(transport, health.Service{
		Part: n.health.Unknown("wildfire", ""),
		Name: "WildFire",
		Key:  "wildfire.url",
		URL:  ccfg.BaseURL,
	})
	if n.client, err = wildfire.New(ccfg, n.tokens); err != nil {
		return fmt.Errorf("wildfire.%w", err)
	}
	n.undo = append(n.undo, n.client.Close)
	n.worker, err = worker.New(n.queue, wcfg, n.client, n.client,
		worker.WithLogger(n.log.With().Str("component", "worker").Logger()), worker.WithMetrics(n.reg),
		worker.WithTracing(n.traces), worker.WithTokens(n.tokens), worker.WithGuard(n.guard), worker.WithReports(n.client),
		worker.WithHealth(n.health), worker.WithProcess(n.describe()))

	return err
}

// reach has the health registry told whether a service can be reached, by the calls through a
// transport.
func (n *Node) reach(t http.RoundTripper, s health.Service) *health.Transport {
	r := health.NewTransport(t, s)
	n.looking = append(n.looking, r)

	return r
}

// describe is the process as a member of the fleet.
func (n *Node) describe() fleet.Process {
	return fleet.Process{Role: n.roles.process(), Version: n.roles.Version, Config: fingerprint(n.cfg)}
}

// join makes the process a member of the fleet: a worker is one already. Whether its key can be
// written is how it is known whether anything can.
func (n *Node) join() error {
	if n.worker != nil {
		n.member = n.worker.Member()
	} else {
		n.member = fleet.Join(n.queue.Control(), n.cfg.Pipeline.Lease, n.describe())
	}
	n.member.Reports(n.health.Parts)
	n.member.Tells(n.duties)
	n.health.Probe("queue", "", health.Probe{Ask: func(ctx context.Context) error {
		return n.queue.Writable(ctx, n.member, n.roles.Work)
	}})

	return n.reg.Register(newFleetMetrics(n.status, n.log))
}

// Tokens makes the source of a profile's tokens, shared with the fleet through the queue
// where there is one. The caller closes it.
func Tokens(ctx context.Context, cfg config.Config, profile string, q *queue.Queue, t http.RoundTripper, log zerolog.Logger, reg prometheus.Registerer) (*auth.Source, error) {
	if err := cfg.CheckProfile(profile); err != nil {
		return nil, err
	}
	p := cfg.Profile(profile)
	opts := []auth.Option{auth.WithTransport(t), auth.WithUserAgent(UserAgent), auth.WithLogger(log)}
	if reg != nil {
		opts = append(opts, auth.WithMetrics(reg))
	}
	shared, err := Sharing(ctx, cfg, profile, q)
	if err != nil {
		return nil, err
	}
	return auth.New(p, append(opts, shared...)...)
}

// Sharing is what lets a profile's tokens be one for the fleet: the buckets of the queue, unless
// the profile keeps its tokens to itself, or has none.
func Sharing(ctx context.Context, cfg config.Config, profile string, q *queue.Queue) ([]auth.Option, error) {
	p := cfg.Profile(profile)
	if q == nil || !p.Shares() {
		return nil, nil
	}
	tokens, err := natsbucket.Tokens(ctx, q.JetStream(), q.TokensBucket(), cfg.NATS.Replicas, 0)
	if err != nil {
		return nil, fmt.Errorf("auth.%s: bucket for shared tokens: %w", profile, err)
	}
	opts := []auth.Option{auth.WithBucket(tokens)}
	if !p.Kind.LogsIn() {
		return opts, nil
	}
	grants, err := natsbucket.Grants(ctx, q.JetStream(), q.GrantsBucket(), cfg.NATS.Replicas)
	if err != nil {
		return nil, fmt.Errorf("auth.%s: bucket for refresh tokens: %w", profile, err)
	}
	return append(opts, auth.WithGrantsBucket(grants)), nil
}

func (n *Node) startWatchers() error {
	for _, c := range n.cfg.Watch {
		w, err := watch.New(c, folderIntake{n.publisher(n.queue.Publisher())}, n.queue.Outcomes(readerOf(c.Path)), n.queue.Objects(),
			watch.WithLogger(n.log), watch.WithMetrics(n.reg), watch.WithCatalog(n.queue), watch.WithHealth(n.health), watch.WithGuard(n.guard))
		if err != nil {
			return fmt.Errorf("watch %s: %w", c.Path, err)
		}
		n.watchers = append(n.watchers, w)
	}
	return nil
}

// folderIntake submits what watchers find: their jobs say where the contents are.
type folderIntake struct{ publisher *queue.Publisher }

func (i folderIntake) Publish(ctx context.Context, j pipeline.Job) error {
	_, err := i.publisher.Submit(ctx, j, queue.Content{})

	return err
}

// readerOf names the reader of a folder's events: the same for every watcher of this folder
// on this machine, and for nobody else.
func readerOf(path string) string {
	host, _ := os.Hostname()
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(host + "\x00" + abs))
	return hex.EncodeToString(h.Sum(nil))
}

func (n *Node) startHTTP() error {
	if n.cfg.HTTP.Listen == "" {
		return nil
	}
	page, err := n.dashboard()
	if err != nil {
		return err
	}
	h, err := admin.New(n.cfg.HTTP.Config, admin.Config{
		Parts: n.health.Parts, Registry: n.reg, Pprof: n.cfg.HTTP.Pprof, Log: n.log.With().Str("component", "http").Logger(),
		Status: func(ctx context.Context) (any, error) { return n.Status(ctx), nil },
		Page:   page,
	})
	if err != nil {
		return err
	}
	n.http = h
	n.undo = append(n.undo, h.Close)
	n.log.Info().Str("addr", h.Addr().String()).Msg("serving health, metrics and status")
	return nil
}

// dashboard is the page, and what it asks for.
func (n *Node) dashboard() (http.Handler, error) {
	n.history = history.NewLog(n.queue, history.DefaultLimits(), n.log.With().Str("component", "dashboard").Logger())

	cfg := ui.Config{
		History: n.history,
		Trace: func(ctx context.Context, q queue.TraceQuery) (queue.Trace, error) {
			if n.queue.NoLedger {
				return queue.Trace{}, errors.New("a watcher may not read the ledger; ask the dashboard of a worker, or run `backburn trace JOB` with its rights")
			}
			return n.queue.Trace(ctx, q)
		},
		Portal: portal(n.cfg.WildFire.Client.BaseURL),
		Log:    n.log.With().Str("component", "dashboard").Logger(),
	}
	if n.worker != nil {
		replay, err := Replays(n.cfg)
		if err != nil {
			return nil, err
		}
		cfg.User = n.cfg.HTTP.User
		cfg.Acts = func(by, from string) ui.Acts { return n.operator(by, from, replay) }
	}

	return ui.New(cfg), nil
}

// portal is where people read WildFire's reports, for the cloud that is used; "" where it isn't
// known.
func portal(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), ".wildfire.paloaltonetworks.com") && u.Hostname() != "wildfire.paloaltonetworks.com" {
		return ""
	}

	return "https://" + u.Hostname() + "/"
}

// Queue is the node's queue.
func (n *Node) Queue() *queue.Queue { return n.queue }

// HTTPAddr is where the HTTP side listens; "" for nowhere.
func (n *Node) HTTPAddr() string {
	if n.http == nil {
		return ""
	}
	return n.http.Addr().String()
}

// Run works until ctx ends or a part fails for good, then stops in good order.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	g, gctx := errgroup.WithContext(ctx)
	for _, w := range n.watchers {
		g.Go(func() error { return w.Run(gctx) })
	}
	if n.worker != nil {
		g.Go(func() error { return n.worker.Run(gctx) })
	}
	last, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var side errgroup.Group
	side.Go(func() error { return n.health.Run(last) })
	for _, t := range n.looking {
		side.Go(func() error { return t.Run(last) })
	}
	if n.worker == nil {
		side.Go(func() error { return n.member.Run(last) })
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before it says that it is ready
	defer signal.Stop(hangups)
	side.Go(func() error { return n.reloadOnHangup(gctx, hangups) })
	if n.http != nil {
		side.Go(func() error { return n.http.Run(last, httpGrace) })
		side.Go(func() error { return n.history.Run(last) })
	}
	if n.api != nil {
		g.Go(func() error { return n.api.Run(gctx, apiGrace) })
	}
	if n.clamd != nil {
		g.Go(func() error { return n.clamd.Run(gctx, apiGrace) })
	}
	if n.mail != nil {
		g.Go(func() error { return n.mail.Run(gctx, apiGrace) })
	}
	if n.roles.Sinks {
		g.Go(func() error { return n.sinks.run(gctx) })
	}
	var began time.Time // to stop
	g.Go(func() error {
		<-gctx.Done()
		began = time.Now()
		n.log.Info().AnErr("cause", context.Cause(gctx)).Msg("stopping: finishing or requeuing jobs in progress")
		return nil
	})
	n.log.Info().Int("folders", len(n.watchers)).Bool("worker", n.worker != nil).Msg("ready")
	side.Go(func() error {
		notifySystemd(last, gctx.Done(), n.log)
		return nil
	})
	err := g.Wait()
	stop()
	err = errors.Join(err, side.Wait())
	n.log.Info().Stringer("took", time.Since(began).Round(time.Millisecond)).Msg("stopped")
	return err
}

// Close stops what Start began, in reverse order. It may be called more than once.
func (n *Node) Close() {
	for len(n.undo) > 0 {
		last := len(n.undo) - 1
		n.undo[last]()
		n.undo = n.undo[:last]
	}
}
