package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"backburn/internal/acl"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/jets"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
)

// commandLog is the log of commands that print a result. It shows only problems, unless --log-level
// asks for more.
func commandLog(tool *cli.App, cfg config.Config) zerolog.Logger {
	log := tool.Logger(cfg)
	if cfg.Log.Level == "info" {
		log = log.Level(zerolog.WarnLevel)
	}
	return log
}

// attachTimeout limits how long a command looks for the queue.
const attachTimeout = 10 * time.Second

// attach connects to the configured NATS server and opens the existing queue. It creates nothing.
// The caller calls release. The configured NATS user has the role operator, or one of the others.
func attach(ctx context.Context, tool *cli.App, cfg config.Config, command string, others ...acl.Role) (q *queue.Queue, release func(), err error) {
	q, release, err = dial(ctx, cfg, command, commandLog(tool, cfg), others...)

	return q, release, hintSimulation(cfg, err)
}

// dial is attach without a hint, and with a log of its own.
func dial(ctx context.Context, cfg config.Config, command string, log zerolog.Logger, others ...acl.Role) (q *queue.Queue, release func(), err error) {
	nc, err := connectAs(ctx, cfg, command, acl.Operator, log)
	for _, role := range others {
		if !errors.Is(err, natsconn.ErrRole) {
			break
		}
		if other, oerr := connectAs(ctx, cfg, command, role, log); oerr == nil {
			nc, err = other, nil
		}
	}
	if err != nil {
		return nil, nil, err
	}

	if q, err = attachTo(ctx, nc, cfg); err != nil {
		nc.Close()
		return nil, nil, err
	}

	return q, nc.Close, nil
}

// connectAs connects as a role, and gives up when ctx ends.
func connectAs(ctx context.Context, cfg config.Config, command string, role acl.Role, log zerolog.Logger) (*nats.Conn, error) {
	return natsconn.Connect(ctx, cfg.NATS, "backburn "+command, log, natsconn.Inbox(cfg.NATS.Prefix, string(role)))
}

// openQueue reads the configuration and attaches to its queue.
func openQueue(ctx context.Context, tool *cli.App, command string) (cfg config.Config, q *queue.Queue, release func(), err error) {
	if cfg, err = tool.Config(); err == nil {
		q, release, err = attach(ctx, tool, cfg, command)
	}

	return cfg, q, release, err
}

// simulationFlag binds --simulate for commands that read a queue or submit to it.
func simulationFlag(tool *cli.App, flags *pflag.FlagSet) {
	tool.BindSimulation(flags, "use the simulation of run --simulate, not the real fleet")
}

// hintSimulation adds a hint to err if a simulation with the embedded server exists.
func hintSimulation(cfg config.Config, err error) error {
	simulation := cfg
	if err == nil || cfg.Simulated() || !cfg.NATS.Embedded.Enabled || simulation.Simulate() != nil {
		return err
	}
	if _, serr := os.Stat(simulation.NATS.Embedded.TokenFile()); serr != nil {
		return err
	}

	return fmt.Errorf("%w (to use the data of `backburn run --simulate`, add --simulate)", err)
}

// simulationNotice is the first line of output about a simulation.
const simulationNotice = "SIMULATED: these verdicts are not WildFire's, and say nothing about the files."

// printNotice writes the notice if WildFire is simulated.
func printNotice(w io.Writer, simulated bool) {
	if simulated {
		fmt.Fprintf(w, "%s\n\n", simulationNotice)
	}
}

func attachTo(ctx context.Context, nc *nats.Conn, cfg config.Config) (*queue.Queue, error) {
	actx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	q, err := queue.Attach(actx, nc, cfg.NATS.Domain, cfg.NATS.Prefix)
	if err != nil && ctx.Err() == nil {
		if jets.Is(err, jets.Unavailable) {
			err = fmt.Errorf("JetStream does not answer at %s: %w; %s", cfg.NATS.URL, err, cfg.NATS.JetStreamRemedy())
		}
		return nil, cli.Exit(cli.Unreachable, err)
	}

	if err != nil {
		return nil, err
	}

	return q, q.Streams().CheckSimulated(cfg.Simulated())
}
