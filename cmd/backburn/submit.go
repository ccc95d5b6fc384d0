package main

import (
	"slices"

	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/guard"
	"backburn/pipeline"
)

func submitCommand(tool *cli.App) *cobra.Command {
	s := &submission{tool: tool}
	var priority, submitLimit string
	cmd := &cobra.Command{
		Use:   "submit PATH…|URL…",
		Short: "Submit files, folders or links, and wait for their verdicts",
		Long: `Submits files, all files below folders, and links, as a gateway does: small files in a message,
larger ones through the object bucket. The files stay where they are, and workers need no access
to them. Symbolic links and the folder .backburn are skipped.

With --wait the command waits for all verdicts, up to --timeout. The jobs continue afterwards:
"backburn trace JOB" and "backburn results --source submit" show them. While the queue is full, the
command waits for space, too, but not beyond --timeout.

On a terminal it prints a table; otherwise one line of JSON for each file or link, with "path" or
"url", "job_id" and "state": accepted, decided (with "event"), pending at the timeout, or error.

Exit codes: 0 all jobs are accepted, 3 a file could not be submitted. With --wait: 0 all files are
harmless, 1 something is malicious (both as with clamscan), 3 as above, or a job failed, or its
verdict is missing or unrecognised.`,
		Example: `  backburn submit invoice.exe
  backburn submit --wait ~/Downloads
  backburn submit --wait --priority urgent --timeout 10m suspicious.doc && echo harmless
  find /srv -newer mark -type f -print0 | xargs -0 backburn submit --source nightly`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.priority = pipeline.Priority(priority)
			s.maxSubmit = pipeline.Submit(submitLimit)
			switch {
			case submitLimit != "" && !slices.Contains(pipeline.Submits(), s.maxSubmit):
				return cli.Usagef("--submit: expected always, lookup or never, got %q", submitLimit)
			case !s.priority.Valid():
				return cli.Usagef("--priority: expected urgent, normal or bulk, got %q", priority)
			case !pipeline.ValidSource(s.source):
				return cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, s.source)
			case slices.Contains(args, "-"):
				return cli.Usagef("standard input is not read: write the contents to a file, whose name appears in the events (for a file named -, use ./-)")
			case s.timeout > 0 && !s.wait:
				return cli.Usagef("--timeout needs --wait")
			}

			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			wcfg, err := app.WorkerConfig(cfg)
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}

			s.limit = wcfg.SizeLimit(s.source)
			q, release, err := attach(cmd.Context(), tool, cfg, "submit")
			if err != nil {
				return err
			}
			defer release()
			s.queue = q
			s.guard = guard.New(cfg.Guarded())
			s.asJSON = s.asJSON || !cli.IsTerminal(tool.Out)
			if !s.asJSON {
				printNotice(tool.Err, q.Streams().Simulated())
			}

			return s.run(cmd.Context(), args)
		},
	}
	simulationFlag(tool, cmd.Flags())
	f := cmd.Flags()
	f.BoolVar(&s.wait, "wait", false, "wait for the verdicts")
	f.Var(durationFlag{&s.timeout}, "timeout", "wait at most this `time`; 0: no limit")
	f.StringVar(&priority, "priority", string(pipeline.Normal), "`lane`: urgent, normal or bulk")
	f.StringVar(&submitLimit, "submit", "", "what may be `sent`, if less than the policy allows: lookup (the hash) or never (nothing)")
	f.StringVar(&s.source, "source", "submit", "`name` of the source in subjects and events")
	f.BoolVar(&s.asJSON, "json", false, "print JSON lines, also on a terminal")

	return cmd
}
