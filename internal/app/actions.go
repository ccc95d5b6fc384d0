package app

import (
	"context"
	"errors"
	"io"

	"backburn/internal/config"
	"backburn/internal/rootfs"
	"backburn/internal/ui"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch/spool"
	"backburn/results"
	"backburn/wildfire"
)

// actionsFor returns the actions of a dashboard user; by is the user's name, and from the address.
// Only a worker has the permissions for them.
func (n *Node) actionsFor(by, from string, replay queue.ReplayOptions) ui.Actions {
	return dashboardActions{Operator{
		Queue:  n.queue,
		Who:    results.Audit{By: by, Via: results.AuditDashboard, From: from},
		Replay: replay,
		Ask:    n.worker.Ask,
	}}
}

// dashboardActions adapts an Operator to the dashboard.
type dashboardActions struct{ Operator }

func (a dashboardActions) Retry(ctx context.Context, letter uint64) (string, error) {
	r, err := a.Operator.Retry(ctx, letter)

	return r.Job, err
}

func (a dashboardActions) AskAgain(ctx context.Context, sha256, url string) (string, error) {
	verdict, err := a.Recheck(ctx, sha256, url)
	switch {
	case errors.Is(err, poller.ErrQueriesPaused):
		return "", errors.New("queries are paused; see the budgets")
	case err != nil:
		return "", err
	case verdict == wildfire.Unknown:
		return "it does not know the sample", nil
	}

	return verdict.String(), nil
}

// ReplayOptions returns where to find the contents of dead letters on this machine.
func ReplayOptions(cfg config.Config) (queue.ReplayOptions, error) {
	workerConfig, err := WorkerConfig(cfg)

	return queue.ReplayOptions{Roots: workerConfig.Roots, Find: findFailed(cfg)}, err
}

// findFailed returns a function that finds the file of a dead letter in the spool of its folder, by
// the job ID at the beginning of the file's name.
func findFailed(cfg config.Config) func(queue.Letter) (func() (io.ReadCloser, error), int64, bool) {
	return func(l queue.Letter) (func() (io.ReadCloser, error), int64, bool) {
		for _, w := range cfg.Watch {
			if w.Source != l.Job.Source {
				continue
			}

			open := func() (*rootfs.File, error) {
				return spool.OpenFailed(w.Path, queue.FirstID(l.Job.ID), claimedName(l))
			}
			f, err := open()
			if err != nil {
				continue
			}

			st, err := f.Stat()
			f.Close()
			if err != nil {
				continue
			}

			return func() (io.ReadCloser, error) { return open() }, st.Size, true
		}

		return nil, 0, false
	}
}

// claimedName returns the name that a letter's file had in the spool, or "" if it is unknown.
func claimedName(l queue.Letter) string {
	switch c := l.Job.Content; {
	case c == nil || c.Object != "":
		return ""
	case c.PathB64 != nil:
		return string(c.PathB64)
	default:
		return c.Path
	}
}
