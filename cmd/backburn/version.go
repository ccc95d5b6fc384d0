package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
)

func versionCommand(tool *cli.App) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version and the source revision",
		Example: `  backburn version
  backburn version --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			build := cli.ThisBuild()
			if asJSON {
				return printJSON(tool.Out, build)
			}

			_, err := fmt.Fprintln(tool.Out, "backburn", build)

			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")

	return cmd
}
