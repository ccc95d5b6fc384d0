package cli

import (
	"context"
	"errors"
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
	Parts   config.Part // whose files --check and the start look at
	// Check looks at more of the configuration than its files; nil for nothing more.
	Check func(config.Config) error
	// Serve does the work until ctx ends; the cause of ctx says why. It returns nil when
	// it ended in good order.
	Serve func(ctx context.Context, cfg config.Config, log zerolog.Logger) error
}

// Command makes the root command of the binary.
func (d Daemon) Command(std Std) *cobra.Command {
	var (
		check   bool
		listen  string
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
	root.Flags().StringVar(&listen, "http-listen", "", "`host:port` for health, metrics and status, \"\" for none (default: http.listen)")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if version {
			_, err := fmt.Fprintln(std.Out, d.Name, ThisBuild())
			return err
		}
		cfg, err := tool.Config()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("http-listen") {
			if err := config.CheckListen(listen); err != nil {
				return Usagef("--http-listen: %w", err)
			}
			cfg.HTTP.Listen = listen
		}
		if err := d.fit(cfg); err != nil {
			return Exit(Usage, err)
		}
		if check {
			_, err := fmt.Fprintln(std.Out, tool.Describe()+": fine")
			return err
		}
		return d.Serve(cmd.Context(), cfg, tool.Logger(cfg))
	}
	return root
}

// fit looks at everything that must be there before Serve, and reports all of it.
func (d Daemon) fit(cfg config.Config) error {
	var all config.Problems
	checks := []error{cfg.CheckFiles(d.Parts)}
	if d.Check != nil {
		checks = append(checks, d.Check(cfg))
	}
	for _, err := range checks {
		if problems, ok := errors.AsType[config.Problems](err); ok {
			all = append(all, problems...)
		} else if err != nil {
			return err
		}
	}
	if len(all) > 0 {
		return all
	}
	return nil
}
