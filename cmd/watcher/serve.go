package main

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"backburn/internal/config"
)

// serve watches the folders of the configuration until ctx ends.
func serve(context.Context, config.Config, zerolog.Logger) error {
	return errors.New("this build cannot watch folders")
}
