package main

import (
	"context"

	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/config"
)

// serve watches the folders of the configuration until ctx ends.
func serve(ctx context.Context, cfg config.Config, log zerolog.Logger) error {
	n, err := app.Start(ctx, cfg, app.Roles{Watch: true}, log)
	if err != nil {
		return err
	}
	return n.Run(ctx)
}
