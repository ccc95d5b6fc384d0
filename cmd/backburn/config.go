package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
)

func configCommand(tool *cli.App) *cobra.Command {
	group := cli.Group(&cobra.Command{
		Use:   "config",
		Short: "Check or show the configuration",
	})
	group.AddCommand(configCheck(tool), configShow(tool))
	return group
}

func configCheck(tool *cli.App) *cobra.Command {
	var (
		process string
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find every error in the configuration and its files",
		Long: `Checks the configuration and the files and folders that it names: do they exist, can they be read
and written, are secrets protected from other users, are they outside the watched folders? A
process makes the same checks before it starts.

Every error is one line on standard error. It begins with file:line:column, with the file alone if
it contains neither the key nor its table, or with the flag that sets the value. The exit code is
then 2.`,
		Example: `  backburn config check
  backburn config check --config /etc/backburn.toml --for worker
  backburn config check --simulate
  backburn config check --json | jq '.problems[].key'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			parts, ok := config.Processes[process]
			if !ok {
				return cli.Usagef("--for: expected %s, got %q", strings.Join(slices.Sorted(maps.Keys(config.Processes)), ", "), process)
			}

			_, err := tool.ConfigFor(parts)
			if asJSON {
				return printProblems(tool, err)
			}
			if err != nil {
				return err
			}

			_, err = fmt.Fprintln(tool.Out, tool.ConfigOrigin()+": fine")

			return err
		},
	}
	cmd.Flags().StringVar(&process, "for", "run", "`process` to check for: run, watcher, worker, api, clamd, mail or sink")
	tool.BindSimulation(cmd.Flags(), "check what the process does with --simulate, which needs no account")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the errors as JSON on standard output")

	return cmd
}

// printProblems prints the errors of the configuration as JSON. The exit code is that of err.
func printProblems(tool *cli.App, err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if err != nil && !ok {
		return err
	}

	report := struct {
		Config   string          `json:"config"` // "" for the defaults
		Problems config.Problems `json:"problems"`
	}{tool.File(), append(config.Problems{}, problems...)}
	if err := json.NewEncoder(tool.Out).Encode(report); err != nil {
		return err
	}
	if len(problems) > 0 {
		return cli.Exit(cli.Usage, nil)
	}

	return nil
}

func configShow(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print every effective setting, without secrets",
		Long: `Prints the effective configuration, after defaults and flags, as TOML that Backburn can read
again. Each value has a comment with its origin: the default, a line of the file, or a flag.
Environment variables are shown by name. Secrets, and parts of addresses that may be secret,
are left out.`,
		Example: `  backburn config show
  backburn config show --log-level debug > effective.toml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			return cfg.Show(tool.Out)
		},
	}
}
