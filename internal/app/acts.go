package app

import (
	"context"
	"errors"
	"io"
	"time"

	"backburn/internal/config"
	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch/spool"
	"backburn/wildfire"
)

// acts is what users of the dashboard may do. Only a worker has the rights for it.
type acts struct {
	node   *Node
	replay queue.Replay
}

// Retry hands the job of a dead letter in again, and returns its new id.
func (a *acts) Retry(ctx context.Context, letter uint64) (string, error) {
	r, err := a.node.queue.Replay(ctx, letter, a.replay)

	return r.Job, err
}

// AskAgain asks WildFire about contents, and returns its verdict.
func (a *acts) AskAgain(ctx context.Context, sha256 string) (string, error) {
	answer, err := a.node.worker.AskAgain(ctx, sha256)
	switch {
	case errors.Is(err, poller.ErrNoAnswers):
		return "", errors.New("queries are paused; see the budgets")
	case errors.Is(err, context.DeadlineExceeded):
		return "", errors.New("WildFire gave no answer in time; the budgets and the parts of the leading worker may say why")
	case err != nil:
		return "", err
	case answer.Verdict == wildfire.Unknown:
		return "it does not know these contents", nil
	}

	return answer.Verdict.String(), nil
}

// Pause stops all uploads for a while.
func (a *acts) Pause(ctx context.Context, by, reason string, d time.Duration) (fleet.Pause, error) {
	now := time.Now()

	return fleet.Stop(ctx, a.node.queue.Control(), pipeline.Uploads, by, reason, now, now.Add(d))
}

// Resume ends a pause of the uploads.
func (a *acts) Resume(ctx context.Context) (fleet.Pause, error) {
	return fleet.Resume(ctx, a.node.queue.Control(), pipeline.Uploads, time.Now())
}

// Replays is how dead letters are sent back to work from this machine.
func Replays(cfg config.Config) (queue.Replay, error) {
	wcfg, err := WorkerConfig(cfg)

	return queue.Replay{Roots: wcfg.Roots, Find: putAside(cfg)}, err
}

// putAside finds the contents of failed files where the watcher of their folder has put
// them: it is looked for by the job's id, which begins the file's name.
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

// claimedAs is the name that a letter's file had in the spool; "" where that is not known.
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
