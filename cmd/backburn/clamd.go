package main

import (
	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func clamdCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "clamd",
		Short: "Serve the clamd protocol in a separate process",
		Long: `Serves the protocol of ClamAV's clamd, with the settings of [clamd], in a separate process.
"backburn run" serves it too. docs/clamd.md has recipes.

A worker creates the queue. If there is none, this process creates it if it may, or waits up to a
minute for a worker.`,
		Example: `  backburn clamd --config clamd.toml
  clamdscan --config-file clamd-client.conf --fdpass invoice.exe`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["clamd"])
			if err != nil {
				return err
			}

			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Clamd: true})
		},
	}
}
