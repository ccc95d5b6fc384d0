package main

import (
	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func sinkCommand(tool *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sink",
		Short: "Deliver events to the [[sink]] entries, in a separate process",
		Long: `Delivers events to the webhooks, files and syslog servers of the [[sink]] entries, in a separate
process. "backburn run" does this too. A sink continues where it stopped; a new sink starts with new
events. The process needs the NATS permissions of the role "api".

SIGHUP reopens files, and applies changes to the sinks in the configuration.`,
		Example: `  backburn sink --config sinks.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["sink"])
			if err != nil {
				return err
			}

			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Sinks: true})
		},
	}
	cmd.AddCommand(sinkReplay(tool))

	return cmd
}
