package app

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// httpGrace is how long requests may take when the process stops.
const httpGrace = 2 * time.Second

// Run runs until ctx ends or a part fails permanently, and then stops the parts in order.
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

	var began time.Time // start of the stop
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
