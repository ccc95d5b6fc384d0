package main

import (
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
)

func demoCommand(tool *cli.App) *cobra.Command {
	var (
		keep, asJSON bool
		delay        = 3 * time.Second
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show files in and verdicts out, in half a minute",
		Long: `Starts a NATS server, a watcher, a worker and a simulated WildFire in a temporary folder. It then
drops files of many kinds into a quarantine folder, including duplicates, an empty file and one
that is too large, waits for the final event of each, and prints a table. It needs no account, and
sends nothing to other machines.`,
		Example: `  backburn demo
  backburn demo --keep      # keep the folder and look at it afterwards
  backburn demo --json      # one event per line, for a program`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{tool: tool, asJSON: asJSON, delay: delay}

			if err := d.run(cmd.Context(), keep); err != nil {
				return err
			}

			return d.print() // after the folder is removed, because a closed pipe ends the process
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "do not remove the temporary folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the final events as JSON lines instead of a table")
	cmd.Flags().Var(durationFlag{&delay}, "delay", "shortest `time` until a simulated verdict; the longest is twice that")

	return cmd
}
