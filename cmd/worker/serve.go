package main

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"backburn/internal/config"
)

// serve works on jobs until ctx ends.
func serve(context.Context, config.Config, zerolog.Logger) error {
	return errors.New("this build cannot work on jobs")
}
