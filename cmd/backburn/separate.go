package main

import (
	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/daemons"
)

// separateProcess completes a command that runs parts of the system in a process of their own.
func separateProcess(tool *cli.App, roles app.Roles, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defer cli.SurviveHangup()()
		cfg, err := tool.ConfigFor(roles.Parts())
		if err != nil {
			return err
		}

		return daemons.Serve(roles)(cmd.Context(), tool.NewReload(cfg, roles.Parts()), tool.Logger(cfg))
	}

	return cmd
}

func apiCommand(tool *cli.App) *cobra.Command {
	return separateProcess(tool, app.Roles{API: true}, &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API in a separate process",
		Long: `Serves the HTTP API of [api] in a separate process. "backburn run" serves it too.
docs/openapi.yaml describes it.

A worker creates the queue. If there is no queue yet, this process creates it if its NATS
permissions allow that. Otherwise it waits up to a minute for a worker.`,
		Example: `  backburn api --config api.toml
  curl -H "Authorization: Bearer $(cat api.token)" --data-binary @invoice.exe \
       "http://127.0.0.1:9465/v1/submit?filename=invoice.exe&wait=60s"`,
	})
}

func clamdCommand(tool *cli.App) *cobra.Command {
	return separateProcess(tool, app.Roles{Clamd: true}, &cobra.Command{
		Use:   "clamd",
		Short: "Serve the clamd protocol in a separate process",
		Long: `Serves the protocol of ClamAV's clamd, with the settings of [clamd], in a separate process.
"backburn run" serves it too. docs/clamd.md has recipes.

A worker creates the queue. If there is no queue yet, this process creates it if its NATS
permissions allow that. Otherwise it waits up to a minute for a worker.`,
		Example: `  backburn clamd --config clamd.toml
  clamdscan --config-file clamd-client.conf --fdpass invoice.exe`,
	})
}

func mailCommand(tool *cli.App) *cobra.Command {
	return separateProcess(tool, app.Roles{Mail: true}, &cobra.Command{
		Use:   "mail",
		Short: "Filter mail as a milter, in a separate process",
		Long: `Filters mail as a milter: it submits attachments, holds the mail for their verdicts, then
rejects, quarantines or marks it, as [mail] says. "backburn run" does this, too. docs/mail.md has
the recipe for Postfix.

A worker creates the queue. If there is no queue yet, this process creates it if its NATS
permissions allow that. Otherwise it waits up to a minute for a worker.`,
		Example: `  backburn mail --config mail.toml
  postconf -e smtpd_milters=unix:/run/backburn/mail.sock milter_default_action=tempfail`,
	})
}

func sinkCommand(tool *cli.App) *cobra.Command {
	cmd := separateProcess(tool, app.Roles{Sinks: true}, &cobra.Command{
		Use:   "sink",
		Short: "Deliver events to the [[sink]] entries, in a separate process",
		Long: `Delivers events to the webhooks, files and syslog servers of the [[sink]] entries, in a separate
process. "backburn run" does this too. A sink continues where it stopped; a new sink starts with new
events. The process needs the NATS permissions of the role "api".

SIGHUP reopens files, and applies changes to the sinks in the configuration.`,
		Example: `  backburn sink --config sinks.toml`,
	})
	cmd.AddCommand(sinkReplay(tool))

	return cmd
}
