package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/acl"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/sink"
)

func sinkReplay(tool *cli.App) *cobra.Command {
	var (
		dead, dryRun, asJSON bool
		since, until         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "replay NAME",
		Short: "Deliver events to a sink again",
		Long: `Delivers events to a configured sink again. The sink may run at the same time. Events have the same
IDs as before, so a receiver that remembers IDs accepts nothing twice.

--dead delivers the events of the sink's dead_file and removes those that are accepted; this needs
no NATS server. Without --dead the events come from the stream, by the sink's filter. If the
receiver is down or rejects everything, the replay ends with exit code 4, and the rest stays in
dead_file. If it rejects single events, the exit code is 3.`,
		Example: `  backburn sink replay siem --dead --dry-run
  backburn sink replay siem --dead
  backburn sink replay siem --since 24h
  backburn sink replay siem --since 24h --until 12h --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dead && !cmd.Flags().Changed("since") {
				return cli.Usagef("select events with --dead or --since")
			}
			if dead && until > 0 {
				return cli.Usagef("expected no --until with --dead")
			}
			if until > 0 && until >= since {
				return cli.Usagef("--until: expected less than --since, got %s", config.FormatDuration(until))
			}

			cfg, err := tool.ConfigFor(config.SinkPart)
			if err != nil {
				return err
			}

			i := slices.IndexFunc(cfg.Sink, func(s sink.Config) bool { return s.Name == args[0] })
			if i < 0 {
				return cli.Usagef("the configuration has no sink %q", args[0])
			}

			r := replayReport{tool: tool, dryRun: dryRun, asJSON: asJSON}
			replay := sink.Replay{Config: app.SinkConfig(cfg.NATS.Prefix, cfg.Sink[i]), DryRun: dryRun, Each: r.each}
			if replay.Target, err = sink.NewTarget(replay.Config); err != nil {
				return cli.Exit(cli.Usage, fmt.Errorf("sink %s: %w", args[0], err))
			}
			defer replay.Target.Close()

			now := time.Now()
			from := time.Time{}
			if cmd.Flags().Changed("since") {
				from = now.Add(-since)
			}
			if dead {
				return r.end(replay.DeliverDeadLetters(cmd.Context(), from))
			}

			// The sink's own process has the configuration, with its NATS user.
			q, release, err := attach(cmd.Context(), tool, cfg, "sink replay", acl.API, acl.Worker)
			if err != nil {
				return err
			}
			defer release()

			return r.end(replay.DeliverStream(cmd.Context(), q.JetStream(), from, now.Add(-until)))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dead, "dead", false, "the events of the sink's dead_file")
	f.Var(durationFlag{&since}, "since", "events since this time `ago`")
	f.Var(durationFlag{&until}, "until", "events until this time `ago` (default: now)")
	f.BoolVar(&dryRun, "dry-run", false, "only list the events")
	f.BoolVar(&asJSON, "json", false, "as JSON lines")

	return cmd
}

// replayReport prints and counts the events of a replay.
type replayReport struct {
	tool           *cli.App
	dryRun, asJSON bool
	all, refused   int
}

func (r *replayReport) each(e sink.Replayed) error {
	r.all++
	if e.Error != "" {
		r.refused++
	}

	name := cli.Printable(e.Source + " " + e.ID)
	switch {
	case r.asJSON:
		return printJSON(r.tool.Out, e)
	case e.Error != "":
		fmt.Fprintf(r.tool.Err, "%s: %s\n", name, cli.Printable(e.Error))
	case r.dryRun:
		fmt.Fprintf(r.tool.Out, "%s: would be delivered\n", name)
	default:
		fmt.Fprintf(r.tool.Out, "%s: delivered\n", name)
	}

	return nil
}

// end returns the error that sets the exit code.
func (r *replayReport) end(err error) error {
	switch f, ok := errors.AsType[*sink.Fault](err); {
	case errors.Is(err, context.Canceled):
		return err
	case ok && f.Remedy != "":
		return cli.Exit(cli.Unreachable, fmt.Errorf("%w; %s", err, f.Remedy))
	case ok:
		return cli.Exit(cli.Unreachable, err)
	case err != nil:
		return err
	case r.refused > 0:
		return cli.Exit(cli.Partial, fmt.Errorf("%d of %s could not be delivered", r.refused, plural(r.all, "event")))
	case r.all == 0:
		fmt.Fprintln(r.tool.Err, "There are no such events.")
	}

	return nil
}
