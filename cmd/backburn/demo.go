package main

import (
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
)

func demoCommand(tool *cli.App) *cobra.Command {
	var (
		keep, asJSON bool
		delay        time.Duration
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole way of a file, in half a minute",
		Long: `Starts everything in a temporary folder: the NATS server, the watcher, the worker, and a
simulated WildFire. Then it drops files of many kinds into the quarantine, among them
duplicates, an empty one, and one that is too large, waits for the final event of each, and
prints a table. No account is needed, and nothing leaves this machine.`,
		Example: `  backburn demo
  backburn demo --keep      # leave the folder, to look around in it
  backburn demo --json      # one event a line, for a program`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{
				out:    tool.Out,
				screen: tool.Screen(),
				talk:   tool.Err,
				asJSON: asJSON,
				delay:  delay,
			}
			return d.run(cmd.Context(), keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "do not remove the temporary folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the final events as JSON lines instead of a table")
	cmd.Flags().Var(newSpan(&delay, 3*time.Second), "delay", "`time` that the simulated WildFire takes for a verdict, up to twice as long")
	return cmd
}
