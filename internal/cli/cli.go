// Package cli has what the three binaries share: it runs commands, applies flags to the
// configuration, sets up logging, handles signals, and defines exit codes.
//
// Results go to standard output, messages to standard error. A first SIGINT or SIGTERM cancels the
// context of the command, with the signal as its cause; a second one ends the process at once.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/config"
)

// Std has the arguments, environment and standard streams of a process.
type Std struct {
	Args []string // without the program name
	Env  config.Env
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
}

// Run builds a command tree, executes it, and returns the exit code of the process. If a write to
// standard output failed, the command has failed, even if it did not check. Only main calls Run,
// once, because it handles the signals of the process.
func Run(ctx context.Context, build func(Std) *cobra.Command, std Std) int {
	ctx, release := withSignals(ctx)
	defer release()
	useSystemCredentials()

	out := &output{Writer: std.Out}
	std.Out = out
	root := build(std)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(std.Args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	checkHelpTopics(root)
	root.InitDefaultCompletionCmd(std.Args...) // before markCommandErrors, which wraps its errors too
	markCommandErrors(root)

	cmd, err := root.ExecuteContextC(ctx)
	if sig, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.As(err, &sig) {
			printError(std.Err, cmd, err)
		}

		return sig.code()
	}

	if err == nil && out.err != nil {
		err = &commandError{out.err}
	}
	if err == nil {
		return OK
	}

	printError(std.Err, cmd, err)

	return Code(err)
}

// output is standard output. It keeps the first error of a write.
type output struct {
	io.Writer

	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}

	return n, err
}

// printError writes an error for people. Problems of the configuration are printed one per line, so
// that editors can jump to them; other errors follow the program name.
func printError(w io.Writer, cmd *cobra.Command, err error) {
	var silent *exitError
	if errors.As(err, &silent) && silent.err == nil {
		return
	}

	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			if p.File == "" {
				fmt.Fprintf(w, "%s: ", cmd.Root().Name())
			}
			fmt.Fprintln(w, printableLines(p.String()))
		}

		return
	}

	fmt.Fprintf(w, "%s: %s\n", cmd.Root().Name(), hintsOf(cmd, printableLines(strings.TrimSpace(err.Error()))))
	if Code(err) == Usage {
		fmt.Fprintf(w, "See `%s --help`.\n", cmd.CommandPath())
	}
}

// hintsOf is [App.Hints] without an App.
func hintsOf(cmd *cobra.Command, message string) string {
	if f := cmd.Flags().Lookup(simulateFlag); f == nil || f.Value.String() != "true" {
		return message
	}

	return simulatedHints(cmd.Root(), message)
}

// markCommandErrors wraps the errors that commands return, to distinguish them from cobra's usage
// errors, and improves the messages about missing or excess arguments.
func markCommandErrors(cmd *cobra.Command) {
	if !cmd.Runnable() && cmd.HasSubCommands() {
		Group(cmd) // cobra's own group commands, which would show their help for any argument
	}

	if _, operands, ok := strings.Cut(cmd.Use, " "); ok && cmd.Args != nil {
		inner := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			switch err := inner(cmd, args); {
			case err == nil:
				return nil
			case len(args) == 0:
				return Usagef("expected %s", operands)
			default:
				return Usagef("expected %s, got %d arguments", operands, len(args))
			}
		}
	}

	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := inner(cmd, args); err != nil {
				return &commandError{err}
			}

			return nil
		}
	}

	for _, child := range cmd.Commands() {
		markCommandErrors(child)
	}
}

// checkHelpTopics makes "help" refuse an unknown command, as the command line does.
func checkHelpTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		return // without subcommands there is no such command
	}

	help.PreRunE = func(_ *cobra.Command, args []string) error {
		topic, rest, err := root.Find(args)
		if err == nil && len(rest) > 0 && topic.HasSubCommands() {
			return topic.RunE(topic, rest)
		}

		return err
	}
}

// Group sets up a command that has only subcommands. Without arguments it shows its help; an
// unknown subcommand is a usage error.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}

		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += fmt.Sprintf("; did you mean %q?", near[0])
		}

		return Exit(Usage, errors.New(text))
	}

	return cmd
}
