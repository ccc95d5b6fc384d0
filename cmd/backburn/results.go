package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/results"
)

func resultsCommand(tool *cli.App) *cobra.Command {
	var (
		follow, asJSON, uploads           bool
		since                             time.Duration
		types, verdicts, reasons, sources []string
	)
	cmd := &cobra.Command{
		Use:   "results",
		Short: "List verdicts and failures",
		Long: `Lists the events that services consume: past ones and, with --follow, new ones as they
arrive. Other consumers are not affected. Flags can be repeated or take lists; "--verdict
malicious" means malware, grayware, phishing and c2.

--uploads lists instead what was uploaded to WildFire: when, from which source and job, which
contents, and by which rule of the policy.

"--type audit" lists what people did to the fleet at the dashboard or with a command: who, what and
when. These events have no source, so --source leaves them out.

With --json each line is an event (CloudEvents 1.0) as consumers get it, except that it lacks fields
of later versions.`,
		Example: `  backburn results --since 1h
  backburn results --follow --verdict malicious
  backburn results --type failed --source mail --json | jq .data.error
  backburn results --uploads --since 24h
  backburn results --type audit --since 7d
  backburn results --since 30d --json > month.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := resultsFilter(types, verdicts, reasons, sources)
			if err != nil {
				return err
			}

			if uploads {
				if len(types)+len(verdicts)+len(reasons) > 0 {
					return cli.Usagef("--uploads cannot be combined with --type, --verdict or --reason")
				}

				filter.Types = []results.Type{results.Submitted}
			}

			_, q, release, err := openQueue(cmd.Context(), tool, "results")
			if err != nil {
				return err
			}
			defer release()
			sub := results.NewSubscriber(q.JetStream(), results.SubscriberConfig{
				Prefix: q.Prefix(), Filter: filter, Since: sinceTime(cmd, since, follow),
			})
			list := newEventList(tool, filter.Types)
			show := func(_ context.Context, e results.Event) error {
				if asJSON {
					return printJSON(tool.Out, e)
				}

				list.print(stdoutWriter(tool), e)

				return nil
			}
			read := sub.Drain
			if follow {
				read = sub.Run
			}

			if !asJSON {
				printNotice(tool.Out, q.Streams().Simulated())
				list.printHeader()
				defer list.printSummary()
			}

			return read(cmd.Context(), show)
		},
	}
	simulationFlag(tool, cmd.Flags())
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "print new events as they arrive, until Ctrl-C")
	f.BoolVar(&asJSON, "json", false, "events as JSON lines")
	f.BoolVar(&uploads, "uploads", false, "what was uploaded to WildFire, and by which rule")
	f.Var(durationFlag{&since}, "since", "events since this time `ago` (default: all; with --follow: only new ones)")
	f.StringSliceVar(&verdicts, "verdict", nil, "only these `verdicts`: benign, malware, grayware, phishing, c2, unrecognised, or malicious")
	f.StringSliceVar(&reasons, "reason", nil, "only failures with these `reasons`, such as too_large")
	f.StringSliceVar(&sources, "source", nil, "only these `sources`")
	f.StringSliceVar(&types, "type", nil, "only these `types`: submitted, verdict, failed, changed, report, audit (default: verdict, failed, changed)")

	return cmd
}

// sinceTime returns the time from which events are read.
func sinceTime(cmd *cobra.Command, since time.Duration, follow bool) time.Time {
	switch {
	case cmd.Flags().Changed("since"):
		return time.Now().Add(-since)
	case follow:
		return time.Now()
	}
	return time.Time{}
}

// resultsFilter checks the values of the flags, because --follow would wait forever for a
// misspelled one.
func resultsFilter(types, verdicts, reasons, sources []string) (results.Filter, error) {
	var f results.Filter
	known := map[string]results.Type{}
	for _, t := range results.Types() {
		known[t.Name()] = t
	}

	for _, t := range types {
		if known[t] == "" {
			return f, cli.Usagef("--type: expected submitted, verdict, failed, changed, report or audit, got %q", t)
		}

		f.Types = append(f.Types, known[t])
	}

	for _, v := range verdicts {
		switch {
		case v == "malicious":
			f.Outcomes = append(f.Outcomes, maliciousVerdicts...)
		case v == "benign" || v == "unrecognised" || slices.Contains(maliciousVerdicts, v):
			f.Outcomes = append(f.Outcomes, v)
		default:
			return f, cli.Usagef("--verdict: expected benign, %s, unrecognised or malicious, got %q", strings.Join(maliciousVerdicts, ", "), v)
		}
	}

	for _, r := range reasons {
		if !slices.Contains(results.Reasons(), results.Reason(r)) {
			return f, cli.Usagef("--reason: there is no reason %q", r)
		}

		f.Outcomes = append(f.Outcomes, r)
	}

	for _, s := range sources {
		if !pipeline.ValidSource(s) {
			return f, cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, s)
		}
	}

	f.Sources = sources
	if len(f.Types) == 0 {
		f.Types = []results.Type{results.Verdict, results.Failed, results.Changed}
	}

	slices.Sort(f.Outcomes)
	f.Outcomes = slices.Compact(f.Outcomes)

	return f, nil
}
