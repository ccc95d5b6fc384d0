package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	"backburn/internal/health"
	"backburn/internal/httpserver"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/results"
)

func statusCommand(tool *cli.App) *cobra.Command {
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the fleet",
		Long: `Shows the jobs that are queued, pending at WildFire or parked, the lanes of the queue, the day's
remaining budgets, pauses, every process of the fleet with its health, and dead letters. It reads all
of this from NATS, so it works on any machine that reaches the server. It changes nothing.

If a process on this machine serves http.listen without a password, its parts, token, folders and
uploads in progress are shown too, and the budgets are those of its configuration. This works even
if NATS is down; the exit code is then 4.

Calls that workers have reserved count as used: each worker reserves up to 2 % of the rest, and at
most 20 calls.
"lasts until" is a forecast: when the budget will be used up at today's rate. A budget without a
limit (0) is not counted.`,
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

			reader := &statusReader{tool: tool, cfg: cfg, wcfg: wcfg}
			defer reader.release()
			show := func(ctx context.Context) error {
				st, err := reader.read(ctx)
				if err != nil && st.Role == "" {
					return err // there is nothing to show
				}
				if asJSON {
					return errors.Join(printJSON(tool.Out, st), err)
				}

				var b bytes.Buffer
				screen := tool.Screen()
				printStatus(textWriter{&b, screen}, st)

				return errors.Join(refresh(tool.Out, screen, b.Bytes(), follow), err)
			}

			return repeatShow(cmd.Context(), tool.Err, follow, show)
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "show it again every two seconds, until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, one object per line")

	return cmd
}

// watchInterval is the refresh interval of --watch.
const watchInterval = 2 * time.Second

// repeatShow calls show once or, to follow, repeatedly until ctx ends. When following, it continues
// while the server is not reachable.
func repeatShow(ctx context.Context, talk io.Writer, follow bool, show func(context.Context) error) error {
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
			fmt.Fprintln(talk, "backburn:", err)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
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

// statusReader reads the state of the fleet from NATS, and that of the local process from its
// listener.
type statusReader struct {
	tool *cli.App
	cfg  config.Config
	wcfg pipeline.Config

	queue *queue.Queue // nil until attached
	done  func()
}

func (l *statusReader) release() {
	if l.done != nil {
		l.done()
	}
}

// read returns the state as far as it is known, and an error if it is incomplete.
func (l *statusReader) read(ctx context.Context) (app.Status, error) {
	local := make(chan *app.Status, 1)
	go func() { local <- readLocal(ctx, l.cfg.HTTP.Config) }()
	st := app.NewStatus()
	fleet, err := l.fleet(ctx)
	if err == nil {
		st.Status = &fleet
	}

	localStatus := <-local
	if localStatus == nil {
		return st, err
	}

	st.ID = localStatus.ID
	st.Role = localStatus.Role
	st.Parts = localStatus.Parts
	st.UploadsInProgress = localStatus.UploadsInProgress
	st.Watch = localStatus.Watch
	st.Sinks = localStatus.Sinks
	st.Token = localStatus.Token
	switch {
	case err != nil:
		st.Away = cmp.Or(localStatus.Away, &app.Away{Since: st.Time, Reason: err.Error()})
		return st, cli.Exit(cli.Unreachable, err)
	case localStatus.Token != nil && localStatus.Status != nil: // the limits of a running worker apply, not those of our configuration
		st.Uploads = localStatus.Uploads
		st.Queries = localStatus.Queries
	}

	return st, nil
}

func (l *statusReader) fleet(ctx context.Context) (queue.Status, error) {
	if l.queue == nil {
		q, release, err := attach(ctx, l.tool, l.cfg, "status")
		if err != nil {
			return queue.Status{}, err
		}

		l.queue = q
		l.done = release
	}

	return l.queue.Status(ctx, l.wcfg)
}

// readLocal asks the process on this machine. It returns nil if there is none, or if it requires a
// password.
func readLocal(ctx context.Context, at httpserver.Config) *app.Status {
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
func printStatus(w textWriter, st app.Status) {
	fmt.Fprintf(w, "%s\n\n", w.styled(dim, st.Time.Local().Format("2006-01-02 15:04:05 MST")))
	if st.Status == nil {
		away := "NATS is unreachable"
		if st.Away != nil {
			away = fmt.Sprintf("NATS has been unreachable since %s: %s", formatTime(st.Away.Since), printable(st.Away.Reason))
		}

		for _, line := range w.wrapped(away, 0) {
			fmt.Fprintln(w, w.styled(notable, line))
		}

		fmt.Fprintf(w, "The state of the fleet is unknown. State of the process on this machine (%s):\n", printable(st.Role))
		printLocal(w, st)

		return
	}

	printNotice(w, st.Simulated)
	for _, b := range pipeline.Budgets() {
		if p, on := st.Paused[b]; on && !p.Spent {
			for _, line := range w.wrapped(fmt.Sprintf("PAUSED: %s until %s: %s", b, formatTime(p.Until), printable(p.Reason)), 0) {
				fmt.Fprintln(w, w.styled(notable, line))
			}

			fmt.Fprintln(w)
		}
	}

	printJobs(w, st)
	lanes := newTable("LANE", ">JOBS", ">HELD", ">OLDEST")
	for _, p := range pipeline.Priorities() {
		l := st.Lanes[p]
		lanes.add(plain, string(p), strconv.FormatUint(l.Waiting, 10), strconv.Itoa(l.Held), formatAge(l.Oldest))
	}

	lanes.print(w)
	printSources(w, "queued", queuedBySource(st))
	fmt.Fprintln(w)

	budgets := newTable("BUDGET", ">USED", ">LIMIT", "SPENT", "RESETS", "LASTS UNTIL")
	for _, b := range []struct {
		name string
		s    fleet.BudgetStatus
	}{{"uploads", st.Uploads}, {"queries", st.Queries}} {
		if b.s.Limit == 0 && !b.s.Spent {
			budgets.add(plain, b.name, "not counted", "none", "-", "-", "-")
			continue
		}

		lasts, tone := "the reset", plain
		switch {
		case b.s.Spent:
			lasts = "spent"
			tone = notable
		case !b.s.LastsUntil.IsZero():
			lasts = formatTime(b.s.LastsUntil)
		}

		budgets.add(tone, b.name, strconv.Itoa(b.s.Used), strconv.Itoa(b.s.Limit), progressBar(b.s.Used, b.s.Limit, 20), formatTime(b.s.ResetsAt), lasts)
	}

	budgets.print(w)
	printSources(w, "uploads", st.Uploads.By)
	printMembers(w, st)
	printFleetParts(w, st)
	fmt.Fprintln(w)
	printDead(w, st.Dead)
	printLocal(w, st)
}

// queuedBySource counts the queued jobs of each source over all lanes.
func queuedBySource(st app.Status) map[string]int {
	by := map[string]int{}
	for _, lane := range st.Lanes {
		for source, n := range lane.By {
			by[source] += n
		}
	}

	return by
}

// maxSourcesShown is how many sources are listed; those with the most jobs come first.
const maxSourcesShown = 10

// printSources prints the share of each source.
func printSources(w textWriter, what string, by map[string]int) {
	if len(by) == 0 {
		return
	}

	sources := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b))
	})

	var parts []string
	for i, source := range sources {
		if i == maxSourcesShown {
			parts = append(parts, fmt.Sprintf("and %d more sources", len(sources)-i))
			break
		}

		parts = append(parts, fmt.Sprintf("%s %d", printable(source), by[source]))
	}

	for i, line := range w.wrapped(what+" by source: "+strings.Join(parts, ", "), 0) {
		if i == 0 {
			fmt.Fprintln(w)
		}

		fmt.Fprintln(w, line)
	}
}

// printJobs prints where unfinished jobs are.
func printJobs(w textWriter, st app.Status) {
	t := newTable("JOBS", ">NUMBER", ">OLDEST", "=FOR")
	for _, j := range []struct {
		name, what string
		s          queue.WaitStatus
	}{
		{"queued", "a worker", st.Queued},
		{"pending", "a verdict from WildFire", st.Pending},
		{"parked", st.Parked.Reason, st.Parked},
	} {
		what := printable(j.what)
		if !j.s.Until.IsZero() {
			what += ", until " + formatTime(j.s.Until)
		}

		t.add(plain, j.name, strconv.Itoa(j.s.Jobs), formatAge(j.s.Oldest), orDash(what))
	}

	t.print(w)
	printReportsWaiting(w, st.Reports)
	fmt.Fprintln(w)
}

// printReportsWaiting prints how many reports have not been fetched yet.
func printReportsWaiting(w textWriter, r *queue.ReportsStatus) {
	if r == nil {
		return
	}

	line := "reports: none to fetch"
	if r.Waiting > 0 {
		line = fmt.Sprintf("reports: %d to fetch, the first requested %s", r.Waiting, formatAge(r.Oldest))
	}
	if r.Reason != "" {
		line += "; " + r.Reason
	}

	fmt.Fprintf(w, "\n%s\n", strings.Join(w.wrapped(printable(line), 0), "\n"))
}

// printMembers prints the processes of the fleet and their faults.
func printMembers(w textWriter, st app.Status) {
	fmt.Fprintln(w)
	if len(st.Workers()) == 0 {
		fmt.Fprintln(w, w.styled(notable, "no worker is running: start `backburn run` or `worker`"))
	}
	if len(st.Members) == 0 {
		return
	}

	t := newTable("~PROCESS", "~HOST", ">PID", "~VERSION", "CONFIG", ">SLOTS", ">UP", "~HEALTH")
	why := newTable("~NOT WELL", "~PART", "STATE", "SINCE", "=REASON")
	for _, m := range st.Members {
		role := m.Role
		if m.Leader {
			role += " (leader)"
		}

		up := formatDuration(time.Since(m.Started))
		state := string(m.State)
		tone := plain
		if m.State != health.OK {
			tone = notable
		}

		if m.Gone {
			up = "-"
			state = "GONE, last seen " + formatAge(m.Seen)
			tone = notable
		}

		t.add(tone,
			printable(role),
			printable(m.Host),
			strconv.Itoa(m.PID),
			printable(orDash(m.Version)),
			printable(orDash(m.Config)),
			strconv.Itoa(m.Slots),
			up,
			state)
		for _, p := range m.Unwell {
			if !m.Gone {
				why.add(notable, printable(m.Role+" "+strconv.Itoa(m.PID)), printable(p.Name()), string(p.State), formatAge(p.Since), printable(p.Text()))
			}
		}
	}

	t.print(w)
	if len(why.rows) > 0 {
		fmt.Fprintln(w)
		why.print(w)
	}
}

// printFleetParts prints the folders, sinks and tokens of other processes. printLocal shows those
// of the local process in more detail.
func printFleetParts(w textWriter, st app.Status) {
	folders := newTable("~FLEET'S FOLDER", "~SOURCE", "~HOST", "STATE", ">PENDING", ">IN FLIGHT")
	sinks := newTable("~FLEET'S SINK", "KIND", "~HOST", "STATE", ">BEHIND", ">LAST")
	tokens := newTable("~FLEET'S TOKEN", "~HOST", "STATE", "EXPIRES")
	omitted := 0
	for _, m := range st.Members {
		if m.Gone || st.ID != "" && m.ID == st.ID {
			continue
		}

		host := printable(m.Host)
		omitted += m.Omitted
		for _, f := range m.Folders {
			folders.add(okTone(f.State == watch.StateOK),
				printable(f.Path), printable(f.Source), host, printable(f.State), strconv.Itoa(f.Pending), strconv.Itoa(f.InFlight))
		}

		for _, s := range m.Sinks {
			sinks.add(okTone(s.State == sink.StateOK),
				printable(s.Name), printable(s.Kind), host, printable(s.State), strconv.FormatUint(s.Behind, 10), formatAge(s.Last))
		}

		for _, t := range m.Tokens {
			tokens.add(okTone(t.State != "rejected" && t.State != "expired"), printable(t.Profile), host, printable(t.State), formatTime(t.Expires))
		}
	}

	for _, t := range []*table{folders, sinks, tokens} {
		if len(t.rows) > 0 {
			fmt.Fprintln(w)
			t.print(w)
		}
	}

	if omitted > 0 {
		fmt.Fprintf(w, "%d more folders and sinks: run `backburn status` on their machines\n", omitted)
	}
}

// printDead prints the dead letters by reason.
func printDead(w textWriter, dead map[string]uint64) {
	if len(dead) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}

	t := newTable("DEAD", ">LETTERS", "")
	for _, attention := range []bool{true, false} {
		for _, reason := range slices.Sorted(maps.Keys(dead)) {
			if results.Reason(reason).Expected() == attention {
				continue
			}

			what, tone := "needs a look", notable
			if !attention {
				what = "an ordinary outcome"
				tone = plain
			}

			t.add(tone, printable(reason), strconv.FormatUint(dead[reason], 10), what)
		}
	}

	t.print(w)
}

// printLocal prints details that only the process on this machine knows.
func printLocal(w textWriter, st app.Status) {
	printParts(w, st)
	if st.Token != nil {
		fmt.Fprintf(w, "\n%s\n", strings.Join(w.wrapped("token "+tokenLine(*st.Token), 0), "\n"))
	}

	if len(st.Watch) > 0 {
		fmt.Fprintln(w)
		t := newTable("~FOLDER", "~SOURCE", "~STATE", ">PENDING", ">IN FLIGHT", ">CLAIMED", ">FINISHED")
		for _, f := range st.Watch {
			state := f.State
			if f.Reason != "" {
				state += ": " + f.Reason
			}

			t.add(okTone(f.State == watch.StateOK),
				printable(f.Path),
				f.Source,
				printable(state),
				strconv.Itoa(f.Pending),
				strconv.Itoa(f.InFlight),
				strconv.FormatInt(f.Claimed, 10),
				strconv.FormatInt(f.Finished, 10))
		}

		t.print(w)
		printTroubles(w, st.Watch)
	}

	printSinks(w, st.Sinks)
	if len(st.UploadsInProgress) > 0 {
		fmt.Fprintln(w)
		t := newTable("~UPLOADING", ">SENT", ">OF", "", ">SINCE")
		for _, f := range st.UploadsInProgress {
			t.add(plain, printable(f.Filename), humanSize(f.Sent), humanSize(f.Total), progressBar(int(f.Sent), int(f.Total), 20), formatAge(f.Since))
		}

		t.print(w)
	}
}

// printSinks prints the state of the sinks.
func printSinks(w textWriter, sinks []sink.Status) {
	if len(sinks) == 0 {
		return
	}

	fmt.Fprintln(w)
	t := newTable("~SINK", "KIND", "=STATE", ">SINCE", ">BEHIND", ">LAST")
	for _, s := range sinks {
		last := "-"
		if !s.Last.IsZero() {
			last = formatAge(s.Last)
		}

		state := s.State
		if s.Cause != "" {
			state += ": " + s.Cause
		}
		if s.Remedy != "" {
			state += "; " + s.Remedy
		}

		t.add(okTone(s.Cause == ""), printable(s.Name), s.Kind, printable(state), formatAge(s.Since), strconv.FormatUint(s.Behind, 10), last)
	}

	t.print(w)
}

// printParts prints the parts of the local process that are not well or have a note.
func printParts(w textWriter, st app.Status) {
	t := newTable("~PART HERE", "STATE", ">SINCE", "=REASON")
	for _, p := range st.Parts {
		if p.State != health.OK && p.State != health.Unknown || p.Note != "" {
			t.add(okTone(p.State == health.OK), printable(p.Name()), string(p.State), formatAge(p.Since), printable(p.Text()))
		}
	}

	switch {
	case len(t.rows) > 0:
		fmt.Fprintln(w)
		t.print(w)
	case st.Role != "":
		fmt.Fprintf(w, "\nevery part of the process on this machine (%s) is well\n", printable(st.Role))
	}
}

// printTroubles prints the files that cannot be processed.
func printTroubles(w textWriter, folders []watch.Status) {
	t := newTable("~FILE IN TROUBLE", "~SOURCE", ">SINCE", "=REASON")
	for _, f := range folders {
		for _, file := range f.Troubles {
			t.add(notable, printable(file.Path), f.Source, formatAge(file.Since), printable(file.Reason))
		}
		if more := f.Troubled - len(f.Troubles); more > 0 {
			t.add(notable, fmt.Sprintf("and %d more", more), f.Source, "", "")
		}
	}

	if len(t.rows) > 0 {
		fmt.Fprintln(w)
		t.print(w)
	}
}

// tokenLine describes the state of a token. It does not contain the token.
func tokenLine(s auth.Status) string {
	line := fmt.Sprintf("%s (%s): %s", s.Name, s.Kind, s.State)
	if s.Fingerprint != "" {
		line += ", fingerprint " + s.Fingerprint
	}
	if !s.Obtained.IsZero() {
		line += ", " + formatDuration(time.Since(s.Obtained)) + " old"
	}
	if !s.Expires.IsZero() {
		line += ", ends " + formatTime(s.Expires)
	}
	if s.LastError != "" {
		line += "; " + printable(s.LastError)
	}

	return line
}
