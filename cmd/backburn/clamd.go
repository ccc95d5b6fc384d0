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
		Short: "Speak clamd's protocol alone, for programs that ask ClamAV about files",
		Long: `Answers as ClamAV's clamd does, by [clamd], in a process of its own, which neither watches
folders nor works on jobs. "backburn run" does it too. docs/clamd.md has recipes.

The queue has to be there: a worker makes it.`,
		Example: `  backburn clamd --config clamd.toml
  clamdscan --config-file clamd-client.conf --fdpass invoice.exe`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["clamd"])
			if err != nil {
				return err
			}
			if cfg.Clamd.Listen == "" {
				return cli.Exit(cli.Usage, cfg.Problem("clamd.listen", `expected an address such as "unix:/run/backburn/clamd.sock": without one nobody can ask`))
			}
			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Clamd: true})
		},
	}
}
