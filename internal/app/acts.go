package app

import (
	"context"
	"errors"
	"io"
	"time"

	"backburn/internal/config"
	"backburn/internal/rootfs"
	"backburn/internal/ui"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch/spool"
	"backburn/results"
	"backburn/wildfire"
)

// operator returns the actions of a dashboard user at an address. Only a worker has the permissions
// for them.
func (n *Node) operator(by, from string, replay queue.Replay) ui.Actions {
	return acts{Operator{
		Queue:  n.queue,
		Who:    results.Audit{By: by, Via: results.AuditDashboard, From: from},
		Replay: replay,
		Ask:    n.worker.Ask,
	}}
}

// acts adapts an Operator to the dashboard.
type acts struct{ operator Operator }

func (a acts) Retry(ctx context.Context, letter uint64) (string, error) {
	r, err := a.operator.Retry(ctx, letter)

	return r.Job, err
}

func (a acts) AskAgain(ctx context.Context, sha256, url string) (string, error) {
	verdict, err := a.operator.Recheck(ctx, sha256, url)
	switch {
	case errors.Is(err, poller.ErrNoAnswers):
		return "", errors.New("queries are paused; see the budgets")
	case err != nil:
		return "", err
	case verdict == wildfire.Unknown:
		return "it does not know this", nil
	}

	return verdict.String(), nil
}

func (a acts) Pause(ctx context.Context, reason string, d time.Duration) (fleet.Pause, error) {
	return a.operator.Pause(ctx, reason, d)
}

func (a acts) Resume(ctx context.Context) (fleet.Pause, error) { return a.operator.Resume(ctx) }

// Replays returns how dead letters are replayed from this machine.
func Replays(cfg config.Config) (queue.Replay, error) {
	wcfg, err := WorkerConfig(cfg)

	return queue.Replay{Roots: wcfg.Roots, Find: putAside(cfg)}, err
}

// putAside finds the contents of failed files in the spool of their folder, by the job ID at the
// beginning of the file's name.
func putAside(cfg config.Config) func(queue.Letter) (func() (io.ReadCloser, error), int64, bool) {
	return func(l queue.Letter) (func() (io.ReadCloser, error), int64, bool) {
		for _, w := range cfg.Watch {
			if w.Source != l.Job.Source {
				continue
			}

			open := func() (*rootfs.File, error) {
				return spool.OpenFailed(w.Path, queue.FirstID(l.Job.ID), claimedAs(l))
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

// claimedAs returns the name that a letter's file had in the spool, or "" if it is unknown.
func claimedAs(l queue.Letter) string {
	switch c := l.Job.Content; {
	case c == nil || c.Object != "":
		return ""
	case c.PathB64 != nil:
		return string(c.PathB64)
	default:
		return c.Path
	}
}
