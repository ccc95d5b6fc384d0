package main

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline/fleet"
)

func pauseCommand(tool *cli.App) *cobra.Command {
	var (
		d      = time.Hour
		reason string
	)
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Pause all uploads for a while",
		Long: `Stops the uploads of the whole fleet for a while. Workers finish uploads in progress, still ask for
verdicts, and park jobs that need an upload. No job is lost, and waiting is never an attempt. The
pause ends by itself, or with "backburn resume". Both are recorded as audit events ("backburn results
--type audit").`,
		Example: `  backburn pause --for 4h --reason "the proxy is being changed"
  backburn resume`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d < fleet.ShortestManualPause || d > fleet.LongestManualPause {
				return cli.Usagef("--for: expected 1m to 7d, got %s", config.FormatDuration(d))
			}
			if n := utf8.RuneCountInString(reason); n > maxPauseReason {
				return cli.Usagef("--reason: expected at most %d characters, got %d", maxPauseReason, n)
			}

			_, q, release, err := openQueue(cmd.Context(), tool, "pause")
			if err != nil {
				return err
			}
			defer release()
			p, err := operatorOf(q).Pause(cmd.Context(), reason, d)
			if errors.Is(err, fleet.ErrSpent) {
				return cli.Exit(cli.Partial, fmt.Errorf("%w: uploads are already paused until %s", err, formatTime(p.Until)))
			}
			if err != nil {
				return err
			}

			fmt.Fprintf(tool.Out, "uploads are %s, until %s\n", cli.Printable(p.Reason), formatTime(p.Until))

			return nil
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().Var(durationFlag{&d}, "for", "length of the pause (`time`), from 1m to 7d")
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that status and the dashboard show, at most 200 characters")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions) // free text; the flag exists

	return cmd
}

// maxPauseReason is the longest reason, in characters, as at the dashboard.
const maxPauseReason = 200

func resumeCommand(tool *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause of uploads",
		Long: `Ends a pause of the uploads, whether a person or a fault started it. If the fault persists, the next
upload starts the pause again. This command does not renew a budget that is used up.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, q, release, err := openQueue(cmd.Context(), tool, "resume")
			if err != nil {
				return err
			}
			defer release()
			p, err := operatorOf(q).Resume(cmd.Context())
			switch {
			case errors.Is(err, fleet.ErrSpent):
				return cli.Exit(cli.Partial, fmt.Errorf("%w; uploads continue by themselves at %s", err, formatTime(p.Until)))
			case err != nil:
				return err
			case p.Until.IsZero():
				fmt.Fprintln(tool.Out, "uploads were not paused")
			default:
				fmt.Fprintf(tool.Out, "uploads continue; they were %s\n", cli.Printable(p.Reason))
			}

			return nil
		},
	}
	simulationFlag(tool, cmd.Flags())

	return cmd
}
