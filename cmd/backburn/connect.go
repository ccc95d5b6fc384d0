package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
)

// commandLog is for commands that print what they find out: of the log they show what is
// wrong, unless more is asked for than the default.
func commandLog(tool *cli.App, cfg config.Config) zerolog.Logger {
	log := tool.Logger(cfg)
	if log.GetLevel() == zerolog.InfoLevel {
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
		return nil, nil, err
	}
	if q, err = attachTo(ctx, nc, cfg); err != nil {
		nc.Close()
		return nil, nil, err
	}
	return q, nc.Close, nil
}

func attachTo(ctx context.Context, nc *nats.Conn, cfg config.Config) (*queue.Queue, error) {
	actx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	q, err := queue.AttachDomain(actx, nc, cfg.NATS.Domain, cfg.NATS.Prefix)
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("JetStream does not answer at %s: %w", cfg.NATS.URL, err)
		}
		return nil, cli.Exit(cli.Unreachable, err)
	}
	return q, err
}
