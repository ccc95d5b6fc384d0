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

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
)

// commandLog is for commands that print what they find out: of the log they show what is
// wrong, unless more is asked for than the default.
func commandLog(tool *cli.App, cfg config.Config) zerolog.Logger {
	log := tool.Logger(cfg)
	if cfg.Log.Level == "info" {
		log = log.Level(zerolog.WarnLevel)
	}
	return log
}

// attachTime bounds the looking up of a queue.
const attachTime = 10 * time.Second

// attach connects to the NATS server of the configuration and takes hold of the queue that
// is there. It creates nothing. The caller calls release.
func attach(ctx context.Context, tool *cli.App, cfg config.Config, command string) (q *queue.Queue, release func(), err error) {
	nc, err := natsconn.Connect(cfg.NATS, "backburn "+command, commandLog(tool, cfg), natsconn.Inbox(cfg.NATS.Prefix, "operator"))
	if err != nil {
		return nil, nil, hintSimulation(cfg, err)
	}
	if q, err = attachTo(ctx, nc, cfg); err != nil {
		nc.Close()
		return nil, nil, hintSimulation(cfg, err)
	}

	return q, nc.Close, nil
}

// simulationFlag binds --simulate of commands that look at a queue, or submit.
func simulationFlag(tool *cli.App, flags *pflag.FlagSet) {
	tool.Simulation(flags, "use the simulation that run --simulate makes, not the real fleet")
}

// hintSimulation says what may be meant where the embedded server cannot be used, and there is a
// simulation in its place.
func hintSimulation(cfg config.Config, err error) error {
	simulation := cfg
	if cfg.Simulated() || !cfg.NATS.Embedded.Enabled || simulation.Simulate() != nil {
		return err
	}
	if _, serr := os.Stat(simulation.NATS.Embedded.TokenFile()); serr != nil {
		return err
	}

	return fmt.Errorf("%w (to use what `backburn run --simulate` made, add --simulate)", err)
}

// simulationNotice heads what people read of a simulation.
const simulationNotice = "SIMULATED: these verdicts are not WildFire's, and say nothing about the files."

// printNotice writes the notice where WildFire is simulated.
func printNotice(w io.Writer, simulated bool) {
	if simulated {
		fmt.Fprintf(w, "%s\n\n", simulationNotice)
	}
}

func attachTo(ctx context.Context, nc *nats.Conn, cfg config.Config) (*queue.Queue, error) {
	actx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	q, err := queue.Attach(actx, nc, cfg.NATS.Domain, cfg.NATS.Prefix)
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("JetStream does not answer at %s: %w", cfg.NATS.URL, err)
		}
		return nil, cli.Exit(cli.Unreachable, err)
	}
	if err != nil {
		return nil, err
	}

	return q, q.CheckMark(cfg.Simulated())
}
