package main

import (
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"backburn/internal/app"
	"backburn/internal/cli"
)

func deadReplay(tool *cli.App) *cobra.Command {
	var (
		f         deadFlags
		perSecond float64
	)
	cmd := &cobra.Command{
		Use:   "replay [LETTER|[SOURCE/]JOB…]",
		Short: "Retry dead letters",
		Long: `Submits the jobs of dead letters again, the oldest first, and removes the letters. A recorded
refusal is forgotten, so WildFire is asked again, and uploads count against the budget.

The failed job already has its final event, so the new job gets another ID: JOB~1, then JOB~2.
You can interrupt and repeat the command; nothing is submitted twice. If a watcher on this
machine kept the file (.backburn/done/failed), it is found there. If the contents no longer
exist, the letter stays, and the exit code is 3. Each letter has its audit events ("backburn results
--type audit").`,
		Example: `  backburn dead replay 17 18
  backburn dead replay --reason attempts_exhausted --since 24h --dry-run
  backburn dead replay --all --rate 2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if perSecond <= 0 {
				return cli.Usagef("--rate: expected more than 0, got %v", perSecond)
			}

			ctx := cmd.Context()
			c, err := f.selectFrom(ctx, tool, args)
			if err != nil {
				return err
			}
			defer c.release()
			replayOptions, err := app.ReplayOptions(c.cfg)
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}

			replayOptions.DryRun = f.dryRun
			operator := operatorOf(c.queue)
			operator.Replay = replayOptions
			pace := rate.NewLimiter(rate.Limit(perSecond), 1)

			return f.forEach(tool, c.letters, "replayed", func(seq uint64) (string, error) {
				if f.dryRun {
					r, err := c.queue.Dead().Replay(ctx, seq, replayOptions)
					return r.Job, err
				}

				if err := pace.Wait(ctx); err != nil {
					return "", err
				}

				r, err := operator.Retry(ctx, seq)

				return r.Job, err
			})
		},
	}
	f.bindSelection(cmd, "replay")
	cmd.Flags().Float64Var(&perSecond, "rate", 10, "at most `n` letters per second")

	return cmd
}
