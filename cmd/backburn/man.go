package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"backburn/internal/cli"
)

// manCommand writes the manual pages that packages install.
func manCommand(tool *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write the manual pages into a folder",
		Long: `Writes a manual page of section 1 for every command into a folder, and creates it if necessary.

The pages have the date of the source revision of this binary, so equal builds have equal
pages.`,
		Example: `  backburn man /usr/local/share/man/man1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are for everybody
				return cli.Exit(cli.Usage, err)
			}

			build := cli.ThisBuild()
			date, err := time.Parse(time.RFC3339, build.Time)
			if err != nil { // the revision is unknown
				date = time.Unix(0, 0).UTC()
			}

			header := doc.GenManHeader{
				Section: "1",
				Source:  "backburn " + build.Version,
				Manual:  "Backburn",
				Date:    &date,
			}

			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &header, args[0]); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}

			return nil
		},
	}
}
