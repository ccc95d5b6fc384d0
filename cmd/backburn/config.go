package main

import (
	"errors"
	"fmt"

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
	return &cobra.Command{
		Use:   "check",
		Short: "Find everything that is wrong with the configuration and its files",
		Long: `Reads the configuration and looks at the files and folders that it names: whether they
are there, can be read and written, and are closed to others where they hold secrets.
Every problem is one line on standard error that begins with file:line:column, and the
exit code is 2. Credentials that are not set yet are mentioned, and are no error.

What only one part of the system needs on this machine is checked by "watcher --check"
and "worker --check".`,
		Example: `  backburn config check
  backburn config check --config /etc/backburn.toml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			if err := cfg.CheckFiles(config.Everything); err != nil {
				return cli.Exit(cli.Usage, err)
			}
			if lacks, ok := errors.AsType[config.Problems](cfg.CheckProfile(cfg.WildFire.Auth)); ok {
				for _, p := range lacks {
					fmt.Fprintln(tool.Err, "note:", p)
				}
			}
			_, err = fmt.Fprintln(tool.Out, tool.Describe()+": fine")
			return err
		},
	}
}

func configShow(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print every setting as it holds, secrets hidden",
		Long: `Prints the configuration as it holds after defaults, environment and flags, as TOML
that Backburn reads back. A secret is a comment that says it is set.`,
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
