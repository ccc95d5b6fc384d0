package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
)

func statusCommand(tool *cli.App) *cobra.Command {
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the fleet is doing",
		Long: `Shows the lanes of the queue, what is left of the day's budgets, pauses, workers, jobs that
wait for a verdict, and dead letters. All of it comes from NATS, so it works from any machine
that reaches the server, and changes nothing there.

Where a process of Backburn serves http.listen on this machine, without a password, its token, its folders and its
uploads in flight are shown too, and the budgets are those that it works with.

What workers have set aside counts as used: up to a fiftieth of what is left, and 20 calls, each.
"lasts until" is a forecast: when the budget will be used up at today's pace. A budget without a
limit (0) is not counted.`,
		Example: `  backburn status
  backburn status --watch                     # again every two seconds
  backburn status --json | jq .uploads
  backburn status --json --watch | jq -c .lanes.normal.waiting`,
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
			q, release, err := attach(cmd.Context(), tool, cfg, "status")
			if err != nil {
				return err
			}
			defer release()
			show := func(ctx context.Context) error {
				st, err := gatherStatus(ctx, q, wcfg, cfg)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(tool.Out, st)
				}
				var b bytes.Buffer
				printStatus(&b, st)
				return refresh(tool.Out, b.Bytes(), follow)
			}
			return every(cmd.Context(), tool.Err, follow, show)
		},
	}
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "show it again every two seconds, until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, one object a line")
	return cmd
}

// statusPeriod is the time between two looks of --watch.
const statusPeriod = 2 * time.Second

// every calls show once or, to follow, until ctx ends; then a server that goes away is no
// reason to stop.
func every(ctx context.Context, talk io.Writer, follow bool, show func(context.Context) error) error {
	if !follow {
		return show(ctx)
	}
	tick := time.NewTicker(statusPeriod)
	defer tick.Stop()
	for {
		sctx, cancel := context.WithTimeout(ctx, attachTime)
		err := show(sctx)
		cancel()
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(talk, "backburn:", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// refresh writes a page: over the last one on a terminal that is watched.
func refresh(w io.Writer, page []byte, follow bool) error {
	switch {
	case follow && isTerminal(w):
		// Home; each line is cleared to its end, and everything below the last.
		page = append([]byte("\x1b[H"), bytes.ReplaceAll(page, []byte("\n"), []byte("\x1b[K\n"))...)
		page = append(page, "\x1b[J"...)
	case follow:
		page = append(page, '\n')
	}
	_, err := w.Write(page)
	return err
}

// gatherStatus asks NATS for the fleet, and the process on this machine for itself.
func gatherStatus(ctx context.Context, q *queue.Queue, wcfg pipeline.Config, cfg config.Config) (app.Status, error) {
	st := app.Status{Flights: []worker.Upload{}, Watch: []watch.Status{}, Sinks: []sink.Status{}}
	local := make(chan *app.Status, 1)
	go func() { local <- askLocal(ctx, cfg.HTTP.Config) }()
	var err error
	st.Status, err = q.Status(ctx, wcfg)
	if l := <-local; l != nil {
		if st.Token = l.Token; l.Token != nil { // a worker: its limits hold, whatever our configuration says
			st.Uploads, st.Queries = l.Uploads, l.Queries
		}
		if l.Flights != nil {
			st.Flights = l.Flights
		}
		if l.Watch != nil {
			st.Watch = l.Watch
		}
		if l.Sinks != nil {
			st.Sinks = l.Sinks
		}
	}
	return st, err
}

// askLocal asks the process that serves on this machine; nil where there is none, or where it wants
// a password.
func askLocal(ctx context.Context, at httpserver.Config) *app.Status {
	client, url, err := at.LocalClient()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/status", nil)
	if err != nil {
		return nil
	}
	res, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var st app.Status
	if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, 8<<20)).Decode(&st) != nil {
		return nil
	}
	return &st
}

// printStatus prints the state for people.
func printStatus(w io.Writer, st app.Status) {
	fmt.Fprintf(w, "%s\n\n", st.Time.Local().Format(time.DateTime))
	for _, b := range []pipeline.Budget{pipeline.Uploads, pipeline.Queries} {
		if p, on := st.Paused[b]; on {
			fmt.Fprintf(w, "PAUSED: %s until %s: %s\n\n", b, clock(p.Until), printable(p.Reason))
		}
	}
	rows := [][]string{{"LANE", "JOBS", "IN HAND", "OLDEST"}}
	for _, p := range pipeline.Priorities() {
		l := st.Lanes[p]
		oldest := "-"
		if !l.Oldest.IsZero() {
			oldest = ago(l.Oldest)
		}
		rows = append(rows, []string{string(p), strconv.FormatUint(l.Waiting, 10), strconv.Itoa(l.InHand), oldest})
	}
	printTable(w, rows)
	fmt.Fprintf(w, "\nwaiting for a verdict: %d\n\n", st.Waiting)

	rows = [][]string{{"BUDGET", "USED", "LIMIT", "RESETS", "LASTS UNTIL"}}
	for _, b := range []struct {
		name string
		s    fleet.BudgetStatus
	}{{"uploads", st.Uploads}, {"queries", st.Queries}} {
		if b.s.Limit == 0 {
			rows = append(rows, []string{b.name, "not counted", "none", "-", "-"})
			continue
		}
		lasts := "the reset"
		if !b.s.LastsUntil.IsZero() {
			lasts = clock(b.s.LastsUntil)
		}
		rows = append(rows, []string{b.name, strconv.Itoa(b.s.Used), strconv.Itoa(b.s.Limit), clock(b.s.ResetsAt), lasts})
	}
	printTable(w, rows)
	printSpenders(w, "uploads", st.Uploads)
	printWorkers(w, st)
	fmt.Fprintln(w)
	printDead(w, st.Dead)
	printLocal(w, st)
}

// mostSpenders is how many sources are named, those that used most.
const mostSpenders = 10

// printSpenders says which sources used a budget.
func printSpenders(w io.Writer, name string, s fleet.BudgetStatus) {
	if len(s.By) == 0 {
		return
	}
	sources := slices.SortedFunc(maps.Keys(s.By), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.By[b], s.By[a]), strings.Compare(a, b))
	})

	var parts []string
	for i, source := range sources {
		if i == mostSpenders {
			parts = append(parts, fmt.Sprintf("and %d more sources", len(sources)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d", printable(source), s.By[source]))
	}
	fmt.Fprintf(w, "\n%s by source: %s\n", name, strings.Join(parts, ", "))
}

func printWorkers(w io.Writer, st app.Status) {
	fmt.Fprintln(w)
	if len(st.Workers) == 0 {
		fmt.Fprintln(w, "no worker is running: start `backburn run` or `worker`")
		return
	}
	rows := [][]string{{"WORKER", "HOST", "PROCESS", "SLOTS", "UP"}}
	for _, m := range st.Workers {
		id := m.ID
		if m.Leader {
			id += " (leader)"
		}
		rows = append(rows, []string{printable(id), printable(m.Host), strconv.Itoa(m.PID), strconv.Itoa(m.Slots), span(time.Since(m.Started))})
	}
	printTable(w, rows)
}

// printDead prints the dead letters by reason.
func printDead(w io.Writer, dead map[string]uint64) {
	if len(dead) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}
	rows := [][]string{{"DEAD", "LETTERS"}}
	for _, reason := range slices.Sorted(maps.Keys(dead)) {
		rows = append(rows, []string{printable(reason), strconv.FormatUint(dead[reason], 10)})
	}
	printTable(w, rows)
}

// printLocal prints what only a process on this machine knows.
func printLocal(w io.Writer, st app.Status) {
	if st.Token != nil {
		fmt.Fprintf(w, "\ntoken %s\n", tokenLine(*st.Token))
	}
	if len(st.Watch) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"FOLDER", "SOURCE", "STATE", "PENDING", "IN FLIGHT", "CLAIMED", "FINISHED"}}
		for _, f := range st.Watch {
			state := f.State
			if f.Reason != "" {
				state += ": " + f.Reason
			}
			rows = append(rows, []string{
				printable(f.Path), f.Source, printable(state), strconv.Itoa(f.Pending), strconv.Itoa(f.InFlight),
				strconv.FormatInt(f.Claimed, 10), strconv.FormatInt(f.Finished, 10),
			})
		}
		printTable(w, rows)
		printTroubles(w, st.Watch)
	}
	printSinks(w, st.Sinks)
	if len(st.Flights) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"UPLOADING", "SENT", "OF", "SINCE"}}
		for _, f := range st.Flights {
			rows = append(rows, []string{printable(f.Filename), humanSize(f.Sent), humanSize(f.Total), ago(f.Since)})
		}
		printTable(w, rows)
	}
}

// printSinks prints what hands events on.
func printSinks(w io.Writer, sinks []sink.Status) {
	if len(sinks) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows := [][]string{{"SINK", "KIND", "STATE", "SINCE", "BEHIND", "LAST"}}
	for _, s := range sinks {
		last := "-"
		if !s.Last.IsZero() {
			last = ago(s.Last)
		}
		state := s.State
		if s.Cause != "" {
			state += ": " + s.Cause
		}
		if s.Remedy != "" {
			state += "; " + s.Remedy
		}
		rows = append(rows, []string{s.Name, s.Kind, printable(state), ago(s.Since), strconv.FormatUint(s.Behind, 10), last})
	}
	printTable(w, rows)
}

// printTroubles prints the files that cannot be dealt with.
func printTroubles(w io.Writer, folders []watch.Status) {
	rows := [][]string{{"FILE IN TROUBLE", "SOURCE", "SINCE", "REASON"}}
	for _, f := range folders {
		for _, t := range f.Troubles {
			rows = append(rows, []string{printable(t.Path), f.Source, ago(t.Since), printable(t.Reason)})
		}
		if more := f.Troubled - len(f.Troubles); more > 0 {
			rows = append(rows, []string{fmt.Sprintf("and %d more", more), f.Source, "", ""})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		printTable(w, rows)
	}
}

// tokenLine is a token's state for people; there is no token in it.
func tokenLine(s auth.Status) string {
	line := fmt.Sprintf("%s (%s): %s", s.Name, s.Kind, s.State)
	if s.Fingerprint != "" {
		line += ", fingerprint " + s.Fingerprint
	}
	if !s.Obtained.IsZero() {
		line += ", " + span(time.Since(s.Obtained)) + " old"
	}
	if !s.Expires.IsZero() {
		line += ", ends " + clock(s.Expires)
	}
	if s.LastError != "" {
		line += "; " + printable(s.LastError)
	}
	return line
}
