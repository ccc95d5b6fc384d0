package main

import (
	"context"

	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func doorCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "door",
		Short: "Serve the HTTP door alone, beside gateways that do not speak NATS",
		Long: `Serves the HTTP door of [door] in a process of its own, which neither watches folders nor works
on jobs. "backburn run" serves it, too. What it is asked and answers is in docs/openapi.yaml.

The queue has to be there: a worker makes it.`,
		Example: `  backburn door --config door.toml
  curl -H "Authorization: Bearer $(cat door.token)" --data-binary @invoice.exe \
       "http://127.0.0.1:9465/v1/submit?filename=invoice.exe&wait=60s"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			if cfg.Door.Listen == "" {
				return cli.Exit(cli.Usage, cfg.Problem("door.listen", `expected an address such as "127.0.0.1:9465": without one there is no door`))
			}
			return serveAlone(cmd.Context(), tool, cfg, config.DoorPart, app.Roles{Door: true})
		},
	}
}

// serveAlone runs one part of the system in a process of its own.
func serveAlone(ctx context.Context, tool *cli.App, cfg config.Config, part config.Part, roles app.Roles) error {
	if err := cfg.CheckFiles(part); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	n, err := app.Start(ctx, cfg, roles, tool.Logger(cfg))
	if err != nil {
		return err
	}
	return n.Run(ctx)
}
