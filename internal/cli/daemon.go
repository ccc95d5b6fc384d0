package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backburn/internal/config"
)

// Daemon describes a process that runs until it is stopped.
type Daemon struct {
	Name    string
	Short   string
	Long    string
	Example string
	Parts   config.Part // the parts whose configuration is validated
	// Serve does the work until ctx ends, and returns nil after an orderly stop. reload has the
	// configuration. The cause of ctx says why the process stops.
	Serve func(ctx context.Context, reload *Reload, log zerolog.Logger) error
}

// WithName returns the daemon with another name, which may have two words.
func (d Daemon) WithName(name string) Daemon {
	d.Example = strings.ReplaceAll(d.Example, "  "+d.Name+" ", "  "+name+" ")
	d.Name = name

	return d
}

// Command returns the root command of the binary.
func (d Daemon) Command(std Std) *cobra.Command {
	var version bool
	root := &cobra.Command{CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	serve := d.configure(root, NewApp(root, std))
	root.Flags().BoolVar(&version, "version", false, "print the version, then exit")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if version {
			_, err := fmt.Fprintln(std.Out, d.Name, ThisBuild())
			return err
		}

		return serve(cmd, args)
	}

	return root
}

// Subcommand returns the daemon as a command of another binary. Its name is the last word of the
// daemon's name.
func (d Daemon) Subcommand(tool *App) *cobra.Command {
	cmd := &cobra.Command{}
	cmd.RunE = d.configure(cmd, tool)

	return cmd
}

// configure sets the texts and flags of the command, and returns the function that runs it.
func (d Daemon) configure(cmd *cobra.Command, tool *App) func(*cobra.Command, []string) error {
	cmd.Use = d.Name[strings.LastIndex(d.Name, " ")+1:]
	cmd.Short = d.Short
	cmd.Long = d.Long
	cmd.Example = d.Example
	cmd.Args = cobra.NoArgs
	check := cmd.Flags().Bool("check", false, "check the configuration and its files, then exit")
	tool.BindSetting(cmd.Flags(), "http-listen", "http.listen", "`host:port` for health, metrics and status, \"\" for none (default: http.listen)")

	return func(cmd *cobra.Command, _ []string) error {
		defer SurviveHangup()()
		cfg, err := tool.ConfigFor(d.Parts)
		if err != nil {
			return err
		}

		if *check {
			_, err := fmt.Fprintln(tool.Out, tool.ConfigOrigin()+": fine")
			return err
		}

		return d.Serve(cmd.Context(), tool.NewReload(cfg, d.Parts), tool.Logger(cfg))
	}
}
