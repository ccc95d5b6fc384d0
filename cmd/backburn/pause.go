package main

import (
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

func pauseCommand(tool *cli.App) *cobra.Command {
	var (
		d      time.Duration
		reason string
	)
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Stop all uploads for a while",
		Long: `Stops the uploads of the whole fleet until a time. Jobs are taken in and parked meanwhile, verdicts are
still asked for, and uploads in progress are finished. Nothing is lost, and nothing counts as an
attempt. It ends by itself, or with "backburn resume".`,
		Example: `  backburn pause --for 4h --reason "the proxy is being changed"
  backburn resume`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d < fleet.ShortestStop || d > fleet.LongestStop {
				return cli.Usagef("--for: expected 1m to 7d, got %s", config.FormatDuration(d))
			}
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			q, release, err := attach(cmd.Context(), tool, cfg, "pause")
			if err != nil {
				return err
			}
			defer release()
			now := time.Now()
			p, err := fleet.Stop(cmd.Context(), q.Control(), pipeline.Uploads, operator(), reason, now, now.Add(d))
			if errors.Is(err, fleet.ErrSpent) {
				return cli.Exit(cli.Partial, fmt.Errorf("%w: uploads stop until %s anyway", err, clock(p.Until)))
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(tool.Out, "uploads are %s, until %s\n", printable(p.Reason), clock(p.Until))

			return nil
		},
	}
	cmd.Flags().Var(newSpan(&d, time.Hour), "for", "so much `time`, at most 7d")
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that status and the dashboard show")

	return cmd
}

func resumeCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "resume",
		Short: "Let uploads go on that are paused",
		Long: `Ends a pause of the uploads, whether a person began it or a fault did. Where the fault is still there, the
next upload begins the pause anew. A budget that is used up comes back by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			q, release, err := attach(cmd.Context(), tool, cfg, "resume")
			if err != nil {
				return err
			}
			defer release()
			p, err := fleet.Resume(cmd.Context(), q.Control(), pipeline.Uploads, time.Now())
			switch {
			case errors.Is(err, fleet.ErrSpent):
				return cli.Exit(cli.Partial, fmt.Errorf("%w; uploads go on by themselves at %s", err, clock(p.Until)))
			case err != nil:
				return err
			case p.Until.IsZero():
				fmt.Fprintln(tool.Out, "uploads were not paused")
			default:
				fmt.Fprintf(tool.Out, "uploads go on; they were %s\n", printable(p.Reason))
			}

			return nil
		},
	}
}

// operator is who runs the command.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}

	return "an operator"
}
