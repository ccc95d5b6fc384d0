package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsd"
)

func runCommand(tool *cli.App) *cobra.Command {
	delay := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run everything in one process",
		Long: `Runs everything in one process: a NATS server (nats.embedded), the watchers of the [[watch]]
entries, and a worker. If they are configured, it also serves the HTTP API, the clamd protocol and
the milter, and delivers events to sinks. Health, metrics and the dashboard are on http.listen.

It can be killed at any moment, and continues at its next start: no job is lost, and contents that
WildFire has are not uploaded again. SIGHUP reloads the log level, the rate, the budgets, the policy
and the sinks.

With --simulate it needs no account and sends nothing to WildFire. A simulated WildFire judges
files by markers in names and contents (see "backburn simulate --help"). A simulation shares
no data with real work: it uses <store_dir>-simulated and the prefix <prefix>-simulated. Files stay
where they are, events are marked (backburnsimulated) and go to no sink, and mail and clamd clients
are not served. To use it, add --simulate to results, status, trace, report, submit, dead, pause,
resume, recheck and doctor.`,
		Example: `  backburn run --simulate                 # drop files into ./quarantine and watch
  backburn results --simulate --follow    # the verdicts of the simulation
  backburn run --config backburn.toml
  curl -s http://127.0.0.1:9464/readyz    # is it ready?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("simulate-delay") && !tool.Simulated() {
				return cli.Usagef("--simulate-delay needs --simulate")
			}
			defer cli.SurviveHangup()()
			ctx := cmd.Context()
			cfg, err := tool.ConfigFor(config.Processes["run"])
			if err != nil {
				return err
			}

			log := tool.Logger(cfg)
			reload := tool.NewReload(cfg, config.Processes["run"])
			if cfg.Simulated() {
				sim, err := startPacedSimulation(delay)
				if err != nil {
					return err
				}
				defer sim.stop()
				sim.use(&cfg)
				reload.Read = func() (config.Config, error) {
					cfg, err := tool.Read()
					if err == nil {
						sim.use(&cfg)
					}

					return cfg, err
				}
				log.Info().Str("url", sim.url).Str("prefix", cfg.NATS.Prefix).
					Msg("WildFire is simulated: nothing is sent to the real one, files are not moved, and sinks, mail servers and clamd clients are not served")
			}

			reload.Loaded = cfg
			if tool.File() == "" {
				// Without a configuration there is one folder, and we create it.
				for _, w := range cfg.Watch {
					if err := os.MkdirAll(w.Path, 0o750); err != nil {
						return cli.Exit(cli.Usage, fmt.Errorf("the folder to watch: %w", err))
					}
				}
			}

			roles := app.Roles{
				Watch:  true,
				Work:   true,
				API:    true,
				Clamd:  true,
				Mail:   true,
				Sinks:  true,
				Reload: reload,
			}
			if cfg.NATS.Embedded.Enabled {
				server, err := natsd.Start(ctx, cfg, log.With().Str("component", "nats").Logger())
				if err != nil {
					return withExitCode(err)
				}
				defer server.Shutdown()
				cfg.NATS = server.NATS()
				roles.NATS = server
			}

			n, err := app.Start(ctx, cfg, roles, log)
			if err != nil {
				return err
			}

			for _, w := range cfg.Watch {
				log.Info().Str("path", w.Path).Str("source", w.Source).Msg("watching a folder")
			}

			return n.Run(ctx)
		},
	}
	tool.BindSimulation(cmd.Flags(), "use a simulated WildFire and separate data; needs no account")
	cmd.Flags().Var(durationFlag{&delay}, "simulate-delay", "shortest `time` until a simulated verdict; the longest is twice that")
	tool.BindSetting(cmd.Flags(), "http-listen", "http.listen", "`host:port` for health, metrics and status, \"\" for none (default: http.listen)")

	return cmd
}
