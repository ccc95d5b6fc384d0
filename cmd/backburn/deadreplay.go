package main

import (
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/rootfs"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch/spool"
)

func deadReplay(tool *cli.App) *cobra.Command {
	var (
		f         deadFlags
		perSecond float64
	)
	cmd := &cobra.Command{
		Use:   "replay [LETTER|JOB…]",
		Short: "Try dead letters again",
		Long: `Hands the jobs of dead letters in again, the oldest first, and removes the letters. What is
remembered of a refusal is forgotten, so that WildFire is really asked, and uploads count.

A job that failed has its final event, so it runs on under another id: JOB~1, then JOB~2.
Interrupted, or given twice, it does nothing twice. Contents that a watcher has put aside
(.backburn/done/failed, on this machine) are found there. Where contents are no more, the
letter stays, and the exit code is 3.`,
		Example: `  backburn dead replay 17 18
  backburn dead replay --reason attempts_exhausted --since 24h --dry-run
  backburn dead replay --all --rate 2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if perSecond <= 0 {
				return cli.Usagef("--rate: above 0, got %v", perSecond)
			}
			ctx := cmd.Context()
			c, err := f.choose(ctx, tool, args)
			if err != nil {
				return err
			}
			defer c.release()
			wcfg, err := app.WorkerConfig(c.cfg)
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}
			how := queue.Replay{Roots: wcfg.Roots, Find: putAside(c.cfg), DryRun: f.dryRun}
			pace := rate.NewLimiter(rate.Limit(perSecond), 1)
			return f.each(tool, c.letters, "replayed", func(seq uint64) (string, error) {
				if !f.dryRun {
					if err := pace.Wait(ctx); err != nil {
						return "", err
					}
				}
				r, err := c.queue.Replay(ctx, seq, how)
				return r.Job, err
			})
		},
	}
	f.bindChoice(cmd, "replay")
	cmd.Flags().Float64Var(&perSecond, "rate", 10, "at most so many letters a `second`")
	return cmd
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
