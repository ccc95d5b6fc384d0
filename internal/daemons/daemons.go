// Package daemons defines the processes that do one thing each. Each is a binary (cmd/watcher,
// cmd/worker), a command of backburn, and a name under which packages link backburn.
package daemons

import (
	"context"
	"os"

	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

// Main runs a daemon as the whole program, and returns its exit code.
func Main(d cli.Daemon) int {
	std := cli.Std{
		Args: os.Args[1:],
		Env:  os.LookupEnv,
		In:   os.Stdin,
		Out:  os.Stdout,
		Err:  os.Stderr,
	}

	return cli.Run(context.Background(), d.Command, std)
}

// Watcher is the process that watches folders.
func Watcher() cli.Daemon {
	return cli.Daemon{
		Name:  "watcher",
		Short: "Claim the files of quarantine folders and publish them as jobs",
		Long: `Watches the folders of the [[watch]] entries. It waits until a file is complete, claims
it, and publishes it as a job through NATS. Workers do the rest.

It needs a running NATS server (nats.url) and the folders. It has no WildFire
credentials. SIGINT or SIGTERM stops it gracefully; a second one stops it at once.

Exit codes: 0 success, 2 wrong usage or configuration, 3 a part of the work failed,
4 a server, port or disk space is not available, 130 or 143 on a signal.`,
		Example: `  watcher --config /etc/backburn/backburn.toml
  watcher --check                       # check the configuration and the folders
  watcher --http-listen 127.0.0.1:9465  # health, metrics and status elsewhere`,
		Parts: config.Processes["watcher"],
		Serve: Serve(app.Roles{Watch: true}),
	}
}

// Worker is the process that uploads files to WildFire.
func Worker() cli.Daemon {
	return cli.Daemon{
		Name:  "worker",
		Short: "Upload the files of jobs to WildFire and publish the verdicts",
		Long: `Takes jobs from NATS, asks WildFire about their hashes, uploads unknown contents, waits
for the verdicts, and publishes them as events. Any number of workers can share the work,
the rate and the quota of one fleet.

It needs a running NATS server (nats.url) and the credentials of the profile that
wildfire.auth names. SIGINT or SIGTERM stops it gracefully; a second one stops it at once.

Exit codes: 0 success, 2 wrong usage or configuration, 3 a part of the work failed,
4 a server, port or disk space is not available, 130 or 143 on a signal.`,
		Example: `  worker --config /etc/backburn/backburn.toml
  worker --check                       # check the configuration and the credentials
  worker --http-listen 127.0.0.1:9466  # health, metrics and status elsewhere`,
		Parts: config.Processes["worker"],
		Serve: Serve(app.Roles{Work: true}),
	}
}

// Serve returns the function that runs the parts of a process until ctx ends.
func Serve(roles app.Roles) func(context.Context, *cli.Reload, zerolog.Logger) error {
	return func(ctx context.Context, start *cli.Reload, log zerolog.Logger) error {
		roles.Reload = start
		n, err := app.Start(ctx, start.Loaded, roles, log)
		if err != nil {
			return err
		}

		return n.Run(ctx)
	}
}
