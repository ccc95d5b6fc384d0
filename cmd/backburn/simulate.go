package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/wildfire/wildfiretest"
)

func simulateCommand(tool *cli.App) *cobra.Command {
	var (
		listen           string
		delay            = 30 * time.Second
		jitter           = 30 * time.Second
		lifetime         = 15 * time.Minute
		uploads, queries int
		seed             uint64
	)
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve a simulated WildFire, with its token service",
		Long: `Serves the WildFire API under /publicapi and the token service under
/am/oauth2/access_token, for trials and tests. It analyzes nothing. Its answers have the
format, status codes and reason phrases of the real service.

` + wildfiretest.MarkerHelp,
		Example: `  backburn simulate
  backburn simulate --delay 0s --quota-uploads 150 --quota-queries 1050
  curl -F file=@malware.exe -H "Authorization: Bearer any" http://127.0.0.1:8463/publicapi/submit/file`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, _, err := net.SplitHostPort(listen)
			switch {
			case err != nil:
				return cli.Usagef("--listen: expected host:port, got %q", listen)
			case uploads < 0, queries < 0:
				return cli.Usagef("--quota-uploads and --quota-queries: expected at least 0")
			case lifetime <= 0:
				return cli.Usagef("--token-lifetime: expected more than 0, got %s", lifetime)
			}

			sim, err := startOpenSimulation(listen, wildfiretest.WithDelay(delay), wildfiretest.WithJitter(jitter),
				wildfiretest.WithTokenLifetime(lifetime), wildfiretest.WithQuota(uploads, queries), wildfiretest.WithSeed(seed))
			if err != nil {
				return err
			}
			defer sim.stop()
			fmt.Fprintf(tool.Out, `A simulated WildFire listens on %s. Any credential is accepted.

[wildfire]
url = "%[1]s"

[auth.wildfire]
client_id = "%s"
client_secret = "${WILDFIRE_CLIENT_SECRET}"   # any value
tsg_id = "%s"
token_url = "%[1]s/am/oauth2/access_token"
`, sim.url, simulatedClient, simulatedTSG)
			fmt.Fprintln(tool.Err, "Press Ctrl-C to stop.")
			<-cmd.Context().Done()

			return cmd.Context().Err()
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8463", "`host:port` to listen on")
	f.Var(durationFlag{&delay}, "delay", "`time` from a submission to its verdict")
	f.Var(durationFlag{&jitter}, "jitter", "up to this much more `time`, depending on the sample")
	f.Var(durationFlag{&lifetime}, "token-lifetime", "`time` until an access token expires")
	f.IntVar(&uploads, "quota-uploads", 0, "uploads per day for each credential, 0 for no limit")
	f.IntVar(&queries, "quota-queries", 0, "queries per day for each credential, 0 for no limit")
	f.Uint64Var(&seed, "seed", 1, "seed that makes random values repeatable")

	return cmd
}
