package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/internal/jets"
	"backburn/internal/natsconn"
	"backburn/internal/tracing"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
)

// Start prepares the parts for work: the streams exist, addresses are bound, credentials are
// readable. If it fails, it undoes everything. ctx limits only the start.
func Start(ctx context.Context, cfg config.Config, roles Roles, log zerolog.Logger) (*Node, error) {
	n := &Node{cfg: cfg, roles: roles, log: log, reg: prometheus.NewRegistry()}
	n.health = health.New(log.With().Str("component", "health").Logger())
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		n.health, buildInfo(roles))
	if roles.NATS != nil {
		roles.NATS.Report(n.health)
	}

	if err := n.start(ctx); err != nil {
		n.Close()
		return nil, err
	}

	return n, nil
}

// start starts the parts in the order of their dependencies.
func (n *Node) start(ctx context.Context) error {
	if err := n.startTracing(ctx); err != nil {
		return err
	}

	n.startGuard()
	if err := n.connect(ctx); err != nil {
		return err
	}

	for _, part := range []struct {
		isWanted bool
		start    func() error
	}{
		{n.roles.Work, func() error { return n.startWorker(ctx) }},
		{true, n.joinFleet},
		{n.roles.Watch, n.startWatchers},
		{n.roles.API && n.cfg.API.Listen != "", n.startAPI},
		{n.roles.Clamd && n.cfg.Clamd.Listen != "", n.startClamd},
		{n.roles.Mail && n.cfg.Mail.Listen != "", n.startMail},
		{n.roles.Sinks, n.startSinks},
		{n.cfg.HTTP.Listen != "", n.startHTTP},
	} {
		if part.isWanted {
			if err := part.start(); err != nil {
				return err
			}
		}
	}

	return nil
}

// startGuard creates the guard of Backburn's own files and secrets.
func (n *Node) startGuard() {
	n.guard = guard.New(n.cfg.Guarded())
	n.reg.MustRegister(n.guard)
	if short := n.guard.Short(); len(short) > 0 {
		n.log.Info().Strs("keys", short).Int("min_length", guard.MinSecret).
			Msg("these secrets are too short; submitted contents are not searched for them")
	}
}

// openTimeout is how long Start waits for JetStream.
const openTimeout = time.Minute

// connect connects to NATS, and attaches the process to the queue.
func (n *Node) connect(ctx context.Context) error {
	role := n.roles.natsRole()
	permissions := n.health.Part("permissions", "")
	options := []nats.Option{natsconn.Inbox(n.cfg.NATS.Prefix, role), natsconn.ReportDenials(permissions)}
	if n.roles.NATS != nil {
		options = append(options, n.roles.NATS.InProcess())
	}
	nc, err := natsconn.Connect(ctx, n.cfg.NATS, "backburn "+role, n.log.With().Str("component", "nats").Logger(), options...)
	if err != nil {
		return err
	}

	n.nc = nc
	n.health.Func("nats", "", natsconn.Health(nc))
	n.undo = append(n.undo, nc.Close)
	if err := n.reg.Register(connectedGauge(n.health)); err != nil {
		return err
	}

	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	topology := Topology(n.cfg)
	if n.roles.NATS != nil {
		topology = fitToStore(topology, n.roles.NATS.MaxStore().Bytes(), n.log)
		topology.Durability = queue.SyncLater
		if n.cfg.NATS.Embedded.SyncAlways {
			topology.Durability = queue.SyncAlways
		}
	}

	// Only a worker updates the queue to the configuration. Others create it only if there is none.
	open := queue.AttachOrOpen
	if n.roles.Work {
		open = queue.Open
	}
	if n.queue, err = open(openCtx, nc, topology); jets.Is(err, jets.Unavailable) {
		return fmt.Errorf("%w; %s", err, n.cfg.NATS.JetStreamRemedy())
	} else if err != nil {
		return err
	}
	permissions.OK() // only attempts to create the queue, which a worker has created meanwhile, were denied

	n.queue.Ledger().NoRead = role == "watcher"
	n.status = newStatusCache(func(ctx context.Context) (queue.Status, error) {
		wcfg, err := WorkerConfig(n.config())
		if err != nil {
			return queue.Status{}, err
		}

		return n.queue.Status(ctx, wcfg)
	})

	return nil
}

// joinFleet makes the process a member of the fleet, unless its worker already is one. The part
// "queue" reports whether the member's key can be written, and so whether the queue is writable.
func (n *Node) joinFleet() error {
	if n.worker != nil {
		n.member = n.worker.Membership()
	} else {
		n.member = fleet.Join(n.queue.Control(), n.cfg.Pipeline.Lease, n.fleetProcess())
	}

	n.member.SetParts(n.health.Parts)
	n.member.SetDuties(n.duties)
	n.health.Probe("queue", "", health.Probe{Ask: func(ctx context.Context) error {
		return n.queue.Streams().Writable(ctx, n.member, n.roles.Work)
	}})

	return n.reg.Register(newFleetMetrics(n.status, n.log))
}

func (n *Node) startSinks() error {
	n.sinks = &sinks{
		js:     n.queue.JetStream(),
		prefix: n.cfg.NATS.Prefix,
		log:    n.log,
		reg:    n.reg,
		health: n.health,
	}
	created, err := n.sinks.createAll(n.cfg.Sink)
	if err != nil {
		return err
	}

	n.undo = append(n.undo, func() { closeTargets(created) })

	return n.sinks.add(created)
}

// startTracing creates the span exporter, if one is configured.
func (n *Node) startTracing(ctx context.Context) error {
	c := n.cfg.Tracing
	if c.Endpoint == "" {
		return nil
	}

	provider, stop, err := tracing.New(ctx, c, n.roles.natsRole(), n.health.UnknownPart("traces", ""), n.log.With().Str("component", "tracing").Logger())
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}

	n.traces = provider
	n.undo = append(n.undo, stop)

	return nil
}
