package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsconn"
	"backburn/pipeline"
)

// attachTime bounds the looking up of a queue.
const attachTime = 10 * time.Second

// attach connects to the NATS server of the configuration and takes hold of the queue that
// is there. It creates nothing. The caller calls release.
func attach(ctx context.Context, app *cli.App, cfg config.Config, command string) (q *pipeline.Queue, release func(), err error) {
	nc, err := natsconn.Connect(cfg.NATS, "backburn "+command, app.Logger(cfg))
	if err != nil {
		return nil, nil, err
	}
	if q, err = attachTo(ctx, nc, cfg); err != nil {
		nc.Close()
		return nil, nil, err
	}
	return q, nc.Close, nil
}

func attachTo(ctx context.Context, nc *nats.Conn, cfg config.Config) (*pipeline.Queue, error) {
	actx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	q, err := pipeline.Attach(actx, nc, cfg.NATS.Prefix)
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("JetStream does not answer at %s: %w", cfg.NATS.URL, err)
		}
		return nil, cli.Exit(cli.Unreachable, err)
	}
	return q, err
}
