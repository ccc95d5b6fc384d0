package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/app"
	"backburn/internal/cli"
)

func statusCommand(tool *cli.App) *cobra.Command {
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the fleet",
		Long: `Shows the state of the fleet. It reads the state from NATS, so it works on any machine that reaches
the server. It changes nothing.

If a process of the fleet on this machine serves http.listen without a password, its own details
follow at the end, and the budgets are those of its configuration. This works even if NATS is down;
the exit code is then 4.

` + statusLegend,
		Example: `  backburn status
  backburn status --watch                     # again every two seconds
  backburn status --json | jq .uploads
  backburn status --json --watch | jq -c .queued.jobs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			wcfg, err := app.WorkerConfig(cfg)
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}

			reader := &statusReader{tool: tool, cfg: cfg, wcfg: wcfg, release: func() {}}
			defer func() { reader.release() }()
			watching, stop := context.WithCancelCause(cmd.Context())
			defer stop(nil)
			written := func(err error) error {
				if err != nil {
					stop(err) // later output would be lost, too
				}

				return err
			}
			show := func(ctx context.Context) error {
				st, err := reader.read(ctx)
				if err != nil && st.Role == "" {
					return err // there is nothing to show
				}
				if asJSON {
					return errors.Join(written(printJSON(tool.Out, st)), err)
				}

				var b bytes.Buffer
				screen := tool.Screen()
				printStatus(textWriter{&b, screen}, st)

				return errors.Join(written(refresh(tool.Out, screen, b.Bytes(), follow)), err)
			}

			return repeatShow(watching, tool.Err, follow, show)
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "show it again every two seconds, until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, one object per line")

	return cmd
}

// statusLegend explains every word of the output, in the order of the output.
const statusLegend = `The output, from top to bottom:

  PAUSED      uploads or queries of the whole fleet are paused: until when, and why
  JOBS        queued    jobs that wait for a worker, or that a worker holds
              pending   jobs that wait for a verdict: their sample is at WildFire or being uploaded
              parked    jobs that wait for a budget or the end of a pause, as FOR says
              OLDEST    age of the oldest of these jobs
  reports     reports that are not fetched from WildFire yet (with [reports])
  LANE        the queued jobs by priority; HELD are those that workers hold, or get again after a
              delay
  by source   the sources with the most queued jobs, and with the most uploads of the day
  BUDGET      the calls to WildFire of this UTC day
              USED         includes calls that workers have reserved: each worker reserves up to
                           2 % of the rest, at most 20 calls
              LIMIT        none: the budget has no limit (0) and is not counted
              SPENT        the used part of the limit, as a bar
              RESETS       when the budget is renewed
              LASTS UNTIL  forecast at today's rate; "the reset": it lasts; "spent": nothing is left
  PROCESS     every process of the fleet; the leader asks for verdicts
              CONFIG   fingerprint of its configuration: equal ones have the same settings
              SLOTS    uploads that it may run at a time
              UP       time since its start
              HEALTH   worst state of its parts: ok, unknown (not used yet), degraded (works in
                       part), failed; GONE: it stopped without leaving the fleet
  NOT OK      parts that are degraded or failed: since when, why, and what to do
  FLEET'S     folders, sinks and tokens of other processes
  DEAD        dead letters by reason; "an ordinary outcome" needs no action

From the process on this machine:

  PART HERE   parts that are not ok, or have a note
  token       its access token: state, fingerprint, age and expiry
  FOLDER      its watched folders
              PENDING    files that are not claimed yet
              IN FLIGHT  files that are claimed and have no final event yet
              CLAIMED    files claimed since the start; FINISHED: files finished since the start
  FILE IN TROUBLE  files that cannot be read, claimed or moved
  SINK        its sinks: BEHIND is the number of events to deliver, LAST the time of the last one
  UPLOADING   its uploads in progress: bytes SENT, OF the file's size, SINCE when`

// watchInterval is the refresh interval of --watch.
const watchInterval = 2 * time.Second

// repeatShow calls show once or, to follow, repeatedly until ctx ends. When following, it continues
// while the server is not reachable.
func repeatShow(ctx context.Context, messages io.Writer, follow bool, show func(context.Context) error) error {
	if !follow {
		return show(ctx)
	}

	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		sctx, cancel := context.WithTimeout(ctx, attachTimeout)
		err := show(sctx)
		cancel()
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(messages, "backburn:", err)
		}

		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// refresh writes a page. With --watch on a terminal it overwrites the last page, and cuts the new
// one at the height of the terminal, which would scroll otherwise.
func refresh(w io.Writer, screen cli.Screen, page []byte, follow bool) error {
	switch {
	case follow && screen.Terminal:
		if lines := bytes.SplitAfter(page, []byte("\n")); screen.Height > 2 && len(lines) > screen.Height {
			page = bytes.Join(lines[:screen.Height-2], nil)
			page = fmt.Appendf(page, "%d more lines: `backburn status` shows all\n", len(lines)-1-(screen.Height-2))
		}

		// Move to the top left; clear the rest of each line, and everything below the last one.
		page = append([]byte("\x1b[H"), bytes.ReplaceAll(page, []byte("\n"), []byte("\x1b[K\n"))...)
		page = append(page, "\x1b[J"...)
	case follow:
		page = append(page, '\n')
	}

	_, err := w.Write(page)

	return err
}
