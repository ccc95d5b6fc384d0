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
		Short: "Hand events on to the [[sink]] entries, alone",
		Long: `Hands events on to the webhooks, files and syslog servers of the [[sink]] entries in a process of
its own. "backburn run" does it, too. It goes on where it stopped; a sink that is new begins with
what comes. Its NATS permissions are those of the role "api". SIGHUP opens files anew.`,
		Example: `  backburn sink --config sinks.toml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["sink"])
			if err != nil {
				return err
			}
			if len(cfg.Sink) == 0 {
				return cli.Exit(cli.Usage, cfg.Problem("sink", "there is none: name one in [[sink]]"))
			}
			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Sinks: true})
		},
	}
	cmd.AddCommand(sinkReplay(tool))
	return cmd
}
