package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
)

func deadDrop(tool *cli.App) *cobra.Command {
	var (
		f   deadFlags
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "drop [LETTER|[SOURCE/]JOB…]",
		Short: "Remove dead letters for good",
		Long: `Removes dead letters, and the contents that were kept for them in the object bucket. The failed
events stay, and audit events say who removed which letter. On a terminal the command asks first;
elsewhere it requires --yes.`,
		Example: `  backburn dead drop 17
  backburn dead drop --reason unsupported_type --dry-run
  backburn dead drop --reason unsupported_type --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := f.selectFrom(ctx, tool, args)
			if err != nil {
				return err
			}
			defer c.release()
			if len(c.letters) > 0 && !f.dryRun && !yes {
				if err := confirm(tool, fmt.Sprintf("Remove %s for good?", plural(len(c.letters), "letter"))); err != nil {
					return err
				}
			}

			return f.forEach(tool, c.letters, "dropped", func(seq uint64) (string, error) {
				if f.dryRun {
					_, err := c.queue.Dead().Get(ctx, seq)
					return "", err
				}

				return "", operatorOf(c.queue).Drop(ctx, seq)
			})
		},
	}
	f.bindSelection(cmd, "drop")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")

	return cmd
}

// confirm asks the user. Without a terminal, the command line must contain --yes.
func confirm(tool *cli.App, question string) error {
	if !cli.IsTerminal(tool.In) || !cli.IsTerminal(tool.Err) {
		return cli.Usagef("%s Add --yes: there is no terminal on which to ask", question)
	}
	fmt.Fprintf(tool.Err, "%s [y/N] ", question)
	line, err := bufio.NewReader(tool.In).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err != nil || answer != "y" && answer != "yes" {
		return cli.Usagef("canceled; nothing was changed")
	}

	return nil
}
