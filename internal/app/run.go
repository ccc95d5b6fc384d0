package app

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/internal/health"
)

// httpGrace is how long HTTP requests in progress may take when the process stops.
const httpGrace = 2 * time.Second

// Run runs the parts until ctx ends or one of them fails permanently. The parts that take in or
// process jobs stop first. Health, membership and the HTTP listener run until those have stopped.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	jobParts, jobCtx := errgroup.WithContext(ctx)
	for _, w := range n.watchers {
		jobParts.Go(func() error { return w.Run(jobCtx) })
	}
	if n.worker != nil {
		jobParts.Go(func() error { return n.worker.Run(jobCtx) })
	}

	lateCtx, stopLate := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLate()
	lateParts, lateFailed := errgroup.WithContext(lateCtx)
	jobParts.Go(func() error { // a late part that fails ends the process, too
		select {
		case <-lateFailed.Done():
			return errLatePart
		case <-jobCtx.Done():
			return nil
		}
	})
	lateParts.Go(func() error { return n.health.Run(lateCtx) })
	lateParts.Go(func() error { return limitGarbage(lateCtx) })
	for _, t := range n.services {
		lateParts.Go(func() error { return t.Run(lateCtx) })
	}
	if n.worker == nil {
		lateParts.Go(func() error { return n.member.Run(lateCtx) })
	}

	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before notifySystemd, because systemd may reload a ready process
	defer signal.Stop(hangups)
	lateParts.Go(func() error { return n.reloadOnHangup(jobCtx, hangups) })
	if n.http != nil {
		lateParts.Go(func() error { return n.http.Run(lateCtx, httpGrace) })
		lateParts.Go(func() error { return n.history.Run(lateCtx) })
	}

	for _, s := range n.intakes {
		jobParts.Go(func() error { return s.Run(jobCtx, intakeGrace) })
	}
	if n.roles.Sinks {
		jobParts.Go(func() error { return n.sinks.run(jobCtx) })
	}

	var stopBegan time.Time
	jobParts.Go(func() error {
		<-jobCtx.Done()
		stopBegan = time.Now()
		n.log.Info().AnErr("cause", context.Cause(jobCtx)).Msg("stopping: finishing jobs in progress, or returning them to the queue")

		return nil
	})
	lateParts.Go(func() error {
		if awaitReady(jobCtx, n.health, n.log) == nil {
			n.log.Info().Int("folders", len(n.watchers)).Bool("worker", n.worker != nil).Msg("ready")
		}

		return nil
	})
	lateParts.Go(func() error {
		notifySystemd(lateCtx, jobCtx, n.health, n.log)
		return nil
	})
	err := jobParts.Wait()
	if errors.Is(err, errLatePart) {
		err = nil // lateParts has the cause
	}
	stopLate()
	err = errors.Join(err, lateParts.Wait())
	n.log.Info().Stringer("took", time.Since(stopBegan).Round(time.Millisecond)).Msg("stopped")

	return err
}

// errLatePart means that a part failed that does not process jobs.
var errLatePart = errors.New("a part has failed")

// awaitReady waits until the process is ready, by the rule of /readyz. If a part has failed at the
// start, it logs that first.
func awaitReady(ctx context.Context, registry *health.Registry, log zerolog.Logger) error {
	if err := registry.Await(ctx, health.Checked); err != nil {
		return err
	}
	if parts := registry.Parts(); !health.Ready(parts) {
		var failed []string
		for _, p := range health.NotOK(parts) {
			failed = append(failed, p.Name())
		}
		log.Warn().Strs("parts", failed).Msg("started, but not ready")
	}

	return registry.Await(ctx, health.Ready)
}
