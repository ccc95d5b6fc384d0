package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backburn/internal/acl"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/results"
)

// completions returns the values that a flag or an argument accepts.
type completions func(*cli.App) []string

// flagCompletions has the values of flags by name. A name has the same values in every command, but
// a duration, such as that of "pause --for", has none, and "pause --reason" is free text.
var flagCompletions = map[string]completions{
	"color":      fixed("auto", "always", "never"),
	"for":        func(*cli.App) []string { return slices.Sorted(maps.Keys(config.Processes)) },
	"log-format": fixed("auto", "console", "json"),
	"log-level":  fixed("trace", "debug", "info", "warn", "error"),
	"format":     fixed(reportFormats...),
	"priority":   fixed(texts(pipeline.Priorities())...),
	"reason":     fixed(texts(results.Reasons())...),
	"source":     sourceNames,
	"type":       typeNames,
	"verdict": func(*cli.App) []string {
		return slices.Concat([]string{"benign", "malicious", "unrecognised"}, maliciousVerdicts)
	},
}

// argumentCompletions has the values of arguments, by command.
var argumentCompletions = map[string]completions{
	"login":  profileNames,
	"logout": profileNames,
	"token":  profileNames,
}

func fixed(values ...string) completions { return func(*cli.App) []string { return values } }

func typeNames(*cli.App) []string {
	var names []string
	for _, t := range results.Types() {
		names = append(names, t.Name())
	}

	return names
}

// sourceNames returns the sources of the configuration, or nothing if it cannot be read.
func sourceNames(tool *cli.App) []string {
	cfg, err := tool.Read()
	if err != nil {
		return nil
	}

	names := append(ownSources(acl.Watcher, cfg), ownSources(acl.API, cfg)...)
	slices.Sort(names)

	return slices.Compact(names)
}

// profileNames returns the profiles of the configuration, or nothing if it cannot be read.
func profileNames(tool *cli.App) []string {
	cfg, err := tool.Read()
	if err != nil {
		return nil
	}

	return slices.Sorted(maps.Keys(cfg.Auth))
}

func registerCompletions(cmd *cobra.Command, tool *cli.App) {
	offer := func(f completions) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return f(tool), cobra.ShellCompDirectiveNoFileComp
		}
	}
	bind := func(flag *pflag.Flag) {
		if f, ok := flagCompletions[flag.Name]; ok && flag.Value.Type() != (durationFlag{}).Type() {
			_ = cmd.RegisterFlagCompletionFunc(flag.Name, offer(f)) // fails if the command has its own completion
		}
	}
	cmd.Flags().VisitAll(bind)
	cmd.PersistentFlags().VisitAll(bind)
	if f, ok := argumentCompletions[cmd.Name()]; ok {
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}

			return f(tool), cobra.ShellCompDirectiveNoFileComp
		}
	}

	for _, child := range cmd.Commands() {
		registerCompletions(child, tool)
	}
}
