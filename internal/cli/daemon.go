package cli

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backburn/internal/config"
)

// Daemon describes a binary that does one thing until it is told to end.
type Daemon struct {
	Name    string
	Short   string
	Long    string
	Example string
	Parts   config.Part // what --check and the start validate the configuration for
	// Serve does the work until ctx ends; the cause of ctx says why. It returns nil when
	// it ended in good order.
	Serve func(ctx context.Context, cfg config.Config, log zerolog.Logger) error
}

// Command makes the root command of the binary.
func (d Daemon) Command(std Std) *cobra.Command {
	var (
		check   bool
		version bool
	)
	root := &cobra.Command{
		Use:               d.Name,
		Short:             d.Short,
		Long:              d.Long,
		Example:           d.Example,
		Args:              cobra.NoArgs,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	tool := NewApp(root, std)
	root.Flags().BoolVar(&check, "check", false, "check the configuration and its files, then exit")
	root.Flags().BoolVar(&version, "version", false, "print the version, then exit")
	tool.Setting(root.Flags(), "http-listen", "http.listen", "`host:port` for health, metrics and status, \"\" for none (default: http.listen)")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if version {
			_, err := fmt.Fprintln(std.Out, d.Name, ThisBuild())
			return err
		}
		cfg, err := tool.ConfigFor(d.Parts)
		if err != nil {
			return err
		}
		if check {
			_, err := fmt.Fprintln(std.Out, tool.Describe()+": fine")
			return err
		}
		return d.Serve(cmd.Context(), cfg, tool.Logger(cfg))
	}
	return root
}
