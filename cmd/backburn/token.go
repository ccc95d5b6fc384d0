package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/internal/cli"
)

func tokenCommand(tool *cli.App) *cobra.Command {
	var status, asJSON bool
	cmd := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print a valid access token",
		Long: `Prints a valid access token of a profile ([auth.PROFILE]; by default that of wildfire.auth) on
standard output, and nothing else. If NATS can be reached, and the profile does not have share =
"off", the token is shared with the fleet: a valid one is reused, and a new one is stored for
others. It also works without NATS, unless the profile has share = "required".

--status shows the token's age, expiry, generation and fingerprint, and never the token.`,
		Example: `  curl -H "Authorization: Bearer $(backburn token watchguard)" https://api.usa.cloud.watchguard.com/…
  backburn token --status
  backburn token wildfire --status --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && !status {
				return cli.Usagef("--json needs --status")
			}

			ctx := cmd.Context()
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			profile := cfg.WildFire.Auth
			if len(args) == 1 {
				profile = args[0]
			}
			if err := checkProfile(cfg, profile); err != nil {
				return err
			}

			fleet := linkFleet(ctx, cfg, "token")
			defer fleet.close()
			source, err := tokenSource(ctx, tool, cfg, profile, fleet)
			if err != nil {
				return err
			}
			defer source.Close()
			token, err := source.Token(ctx)
			if status {
				st := source.Status()
				if asJSON {
					if perr := printJSON(tool.Out, st); perr != nil {
						return perr
					}
				} else {
					printToken(tool.Out, st)
				}
			}

			if err != nil {
				return withExitCode(err)
			}
			if !status {
				_, err = fmt.Fprintln(tool.Out, token)
			}

			return err
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "show the state of the token, not the token")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the status as JSON")

	return cmd
}

func printToken(w io.Writer, s auth.Status) {
	ends := "no end"
	if !s.Expires.IsZero() {
		ends = formatTime(s.Expires) + ", in " + formatDuration(time.Until(s.Expires))
	}

	shared := "no"
	if s.Shared {
		shared = "with the fleet"
	}

	rows := [][]string{
		{"profile", fmt.Sprintf("%s (%s)", s.Name, s.Kind)},
		{"state", s.State},
		{"shared", shared},
		{"obtained", formatTime(s.Obtained) + ", " + formatAge(s.Obtained)},
		{"ends", ends},
		{"generation", strconv.FormatUint(s.Generation, 10)},
		{"fingerprint", orDash(s.Fingerprint)},
	}
	if !s.Ready {
		rows = rows[:3]
	}
	if !s.GrantObtained.IsZero() {
		rows = append(rows, []string{"logged in", formatTime(s.GrantObtained)}, []string{"grant renewed", strconv.FormatUint(s.GrantGeneration, 10) + " times"})
	}
	if s.LastError != "" {
		rows = append(rows, []string{"last error", cli.Printable(s.LastError) + " (" + formatAge(s.LastErrorAt) + ")"})
	}
	if !s.CooldownUntil.IsZero() {
		rows = append(rows, []string{"next request not before", formatTime(s.CooldownUntil)})
	}

	printPairs(w, rows)
}
