// Command worker has WildFire judge what jobs hand in, and publishes the verdicts.
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
		Name:  "worker",
		Short: "Have WildFire judge what jobs hand in, and publish the verdicts",
		Long: `worker takes jobs from NATS, asks WildFire about their hashes, uploads what is
unknown, waits for the verdicts and publishes them as events. Any number of workers
share the work, the rate and the quota of one fleet.

It needs a NATS server that runs (nats.url) and the credentials of the profile that
wildfire.auth names. SIGINT or SIGTERM ends it in good order, a second one at once.

Exit codes: 0 fine, 2 usage or configuration, 3 a part of the work failed,
4 cannot reach what it needs, 130 or 143 by signal.`,
		Example: `  worker --config /etc/backburn.toml
  worker --check                       # is the configuration fine, are credentials there?
  worker --http-listen 127.0.0.1:9466  # health, metrics and status elsewhere`,
		Parts: config.Processes["worker"],
		Serve: serve,
	}
}
