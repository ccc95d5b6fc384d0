package main

import (
	"context"

	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func apiCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API in a separate process",
		Long: `Serves the HTTP API of [api] in a separate process. "backburn run" serves it too.
docs/openapi.yaml describes it.

A worker creates the queue. If there is none, this process creates it if it may, or waits up to a
minute for a worker.`,
		Example: `  backburn api --config api.toml
  curl -H "Authorization: Bearer $(cat api.token)" --data-binary @invoice.exe \
       "http://127.0.0.1:9465/v1/submit?filename=invoice.exe&wait=60s"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["api"])
			if err != nil {
				return err
			}

			return serveAlone(cmd.Context(), tool, cfg, app.Roles{API: true})
		},
	}
}

// serveAlone runs one part of the system in a separate process.
func serveAlone(ctx context.Context, tool *cli.App, cfg config.Config, roles app.Roles) error {
	roles.Reload = tool.NewReload(cfg, roles.Parts())
	roles.Version = cli.ThisBuild().Version
	n, err := app.Start(ctx, cfg, roles, tool.Logger(cfg))
	if err != nil {
		return err
	}

	return n.Run(ctx)
}
