package testkit

import (
	"context"
	"os"

	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

// StandIn is a program with the roles of another binary, for the tests of one binary that needs
// the other beside it: a test binary contains only its own package's main.
func StandIn(name string, parts config.Part, roles app.Roles) func() {
	d := cli.Daemon{Name: name, Parts: parts, Serve: func(ctx context.Context, cfg config.Config, log zerolog.Logger) error {
		n, err := app.Start(ctx, cfg, roles, log)
		if err != nil {
			return err
		}
		return n.Run(ctx)
	}}
	return func() {
		std := cli.Std{Args: os.Args[1:], Env: os.LookupEnv, In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
		os.Exit(cli.Run(context.Background(), d.Command(std), std))
	}
}
