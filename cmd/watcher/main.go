// Command watcher claims the files of quarantine folders and publishes them as jobs.
package main

import (
	"context"
	"io"
	"os"

	"backburn/internal/cli"
	"backburn/internal/config"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, env config.Env, stdin io.Reader, stdout, stderr io.Writer) int {
	std := cli.Std{Args: args, Env: env, In: stdin, Out: stdout, Err: stderr}
	return cli.Run(ctx, daemon().Command(std), std)
}

func daemon() cli.Daemon {
	return cli.Daemon{
		Name:  "watcher",
		Short: "Claim the files of quarantine folders and publish them as jobs",
		Long: `watcher looks after the folders of the [[watch]] entries: it waits until a file is
complete, claims it, and publishes it as a job through NATS. Workers do the rest.

It needs a NATS server that runs (nats.url) and the folders; it knows no WildFire
credentials. SIGINT or SIGTERM ends it in good order, a second one at once.

Exit codes: 0 fine, 2 usage or configuration, 3 a part of the work failed,
4 cannot reach what it needs, 130 or 143 by signal.`,
		Example: `  watcher --config /etc/backburn.toml
  watcher --check                       # is the configuration fine, are the folders there?
  watcher --http-listen 127.0.0.1:9465  # health, metrics and status elsewhere`,
		Parts: config.Processes["watcher"],
		Serve: serve,
	}
}
