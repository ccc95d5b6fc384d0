package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

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
		Short: "Hand events on to a sink again",
		Long: `Hands events on to a sink of the configuration once more, beside the process that runs it or
without one. Deliveries have the same ids as before, so a receiver that remembers them takes nothing twice.

--dead takes the events of the sink's dead_file, and removes there what is taken; it needs no NATS
server. Without it the events come from the stream, as far as the sink's filter wants them. A
receiver that is away, or takes nothing as it is configured, ends the replay with exit code 4;
the rest of the dead letters stays. Where single events are refused, the exit code is 3.`,
		Example: `  backburn sink replay siem --dead --dry-run
  backburn sink replay siem --dead
  backburn sink replay siem --since 24h
  backburn sink replay siem --since 24h --until 12h --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dead && !cmd.Flags().Changed("since") {
				return cli.Usagef("say which events: --dead, or --since")
			}
			if since < 0 || until < 0 || dead && until > 0 {
				return cli.Usagef("--since and --until: not negative, and no --until with --dead")
			}
			cfg, err := tool.ConfigFor(config.SinkPart)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(cfg.Sink, func(s config.Sink) bool { return s.Name == args[0] })
			if i < 0 {
				return cli.Usagef("there is no sink %q in the configuration", args[0])
			}
			r := replayReport{tool: tool, dryRun: dryRun, asJSON: asJSON}
			replay := sink.Replay{Config: app.SinkConfig(cfg, cfg.Sink[i]), DryRun: dryRun, Each: r.each}
			if replay.Target, err = app.SinkTarget(cfg.Sink[i]); err != nil {
				return cli.Exit(cli.Usage, fmt.Errorf("sink %s: %w", args[0], err))
			}
			defer replay.Target.Close()

			now := time.Now()
			from := time.Time{}
			if cmd.Flags().Changed("since") {
				from = now.Add(-since)
			}
			if dead {
				return r.end(replay.Dead(cmd.Context(), from))
			}
			q, release, err := attach(cmd.Context(), tool, cfg, "sink replay")
			if err != nil {
				return err
			}
			defer release()
			return r.end(replay.Stream(cmd.Context(), q.JetStream(), from, now.Add(-until)))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dead, "dead", false, "the events of the sink's dead_file")
	f.Var(spanFlag{&since}, "since", "events from so long `ago` on")
	f.Var(spanFlag{&until}, "until", "events until so long `ago` (default: now)")
	f.BoolVar(&dryRun, "dry-run", false, "show which events it would be")
	f.BoolVar(&asJSON, "json", false, "as JSON lines")
	return cmd
}

// replayReport tells of a replay, and counts.
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
	name := printable(e.Source + " " + e.ID)
	switch {
	case r.asJSON:
		return printJSON(r.tool.Out, e)
	case e.Error != "":
		fmt.Fprintf(r.tool.Err, "%s: %s\n", name, printable(e.Error))
	case r.dryRun:
		fmt.Fprintf(r.tool.Out, "%s: would be handed on\n", name)
	default:
		fmt.Fprintf(r.tool.Out, "%s: handed on\n", name)
	}
	return nil
}

// end makes the exit code.
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
		return cli.Exit(cli.Partial, fmt.Errorf("%d of %s could not be handed on", r.refused, plural(r.all, "event")))
	case r.all == 0:
		fmt.Fprintln(r.tool.Err, "There are no such events.")
	}
	return nil
}
