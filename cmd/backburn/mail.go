package main

import (
	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func mailCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "mail",
		Short: "Filter mail as a milter, in a separate process",
		Long: `Filters mail as a milter: it submits attachments, holds the mail for their verdicts, then
rejects, quarantines or marks it, as [mail] says. "backburn run" does this, too. docs/mail.md has
the recipe for Postfix.

A worker creates the queue. If there is none, this process creates it if it may, or waits up to a
minute for a worker.`,
		Example: `  backburn mail --config mail.toml
  postconf -e smtpd_milters=unix:/run/backburn/mail.sock milter_default_action=tempfail`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["mail"])
			if err != nil {
				return err
			}

			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Mail: true})
		},
	}
}
