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
		Short: "Filter mail for Postfix or Sendmail alone, as a milter",
		Long: `Hands in the attachments of mail, holds it for their verdicts, and rejects, quarantines or marks
it, by [mail], in a process of its own, which neither watches folders nor works on jobs.
"backburn run" does it too. docs/mail.md has the recipe for Postfix.

The queue has to be there: a worker makes it.`,
		Example: `  backburn mail --config mail.toml
  postconf -e smtpd_milters=unix:/run/backburn/mail.sock milter_default_action=tempfail`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer cli.SurviveHangup()()
			cfg, err := tool.ConfigFor(config.Processes["mail"])
			if err != nil {
				return err
			}
			if cfg.Mail.Listen == "" {
				return cli.Exit(cli.Usage, cfg.Problem("mail.listen", `expected an address such as "unix:/run/backburn/mail.sock": without one no mail comes`))
			}
			return serveAlone(cmd.Context(), tool, cfg, app.Roles{Mail: true})
		},
	}
}
