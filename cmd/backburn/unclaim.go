package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/pipeline/watch"
	"backburn/pipeline/watch/ledger"
)

func unclaimCommand(tool *cli.App) *cobra.Command {
	var kept, yes bool
	cmd := &cobra.Command{
		Use:   "unclaim [FOLDER…]",
		Short: "Move claimed files back, to stop using Backburn",
		Long: `Moves claimed files back to where they were found; if a name is taken, a number is added. Stop the
watcher first, or it claims them again: the command notices a running watcher only with claim =
"keep". Without FOLDER it processes every folder of the configuration. It prints each file's path.
The metadata of NAME is returned as NAME.json.

Files that were kept after their verdict (.backburn/done) stay, unless --kept is given: then
MALWARE RETURNS to the folder, too. When it reports that nothing is left, .backburn can be removed.

If a worker runs later, jobs of files that were not uploaded yet fail as content_missing.`,
		Example: `  systemctl stop backburn && backburn unclaim
  backburn unclaim /srv/upload --kept --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			folders := args
			if len(folders) == 0 {
				cfg, err := tool.Config()
				if err != nil {
					return err
				}

				for _, w := range cfg.Watch {
					folders = append(folders, w.Path)
				}
			}

			if kept && !yes {
				if err := confirm(tool, "Also return judged files, including malware?"); err != nil {
					return err
				}
			}

			for _, folder := range folders {
				if err := unclaim(cmd, tool, folder, kept); err != nil {
					return err
				}
			}

			return nil
		},
	}
	cmd.Flags().BoolVar(&kept, "kept", false, "also return files that were kept after their verdict, including malware")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")

	return cmd
}

func unclaim(cmd *cobra.Command, tool *cli.App, folder string, kept bool) error {
	returned := 0
	left, err := watch.Unclaim(cmd.Context(), folder, kept, func(_, to string) {
		returned++
		name := filepath.Join(folder, filepath.FromSlash(to))
		if cli.IsTerminal(tool.Out) {
			name = cli.Printable(name)
		}
		fmt.Fprintln(tool.Out, name)
	})
	if errors.Is(err, ledger.ErrLocked) {
		return cli.Exit(cli.Unreachable, fmt.Errorf("%s: a watcher is running for this folder: stop it first", folder))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}

	fmt.Fprintf(tool.Err, "%s: %s returned, %d left in .backburn\n", folder, plural(returned, "file"), left)

	return nil
}
