package main

import (
	"context"

	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/config"
)

// serve works on jobs until ctx ends.
func serve(ctx context.Context, cfg config.Config, log zerolog.Logger) error {
	n, err := app.Start(ctx, cfg, app.Roles{Work: true}, log)
	if err != nil {
		return err
	}
	return n.Run(ctx)
}
