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

			look := &statusLook{tool: tool, cfg: cfg, wcfg: wcfg}
			defer look.release()
			show := func(ctx context.Context) error {
				st, err := look.gather(ctx)
				if err != nil && st.Role == "" {
					return err // there is nothing to show
				}
				if asJSON {
					return errors.Join(printJSON(tool.Out, st), err)
				}

				var b bytes.Buffer
				screen := tool.Screen()
				printStatus(paper{&b, screen}, st)

				return errors.Join(refresh(tool.Out, screen, b.Bytes(), follow), err)
			}

			return every(cmd.Context(), tool.Err, follow, show)
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "show it again every two seconds, until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, one object per line")

	return cmd
}

// statusPeriod is the refresh interval of --watch.
const statusPeriod = 2 * time.Second

// every calls show once or, to follow, repeatedly until ctx ends. When following, it continues
// while the server is not reachable.
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

// statusLook reads the state of the fleet from NATS, and that of the local process from its
// listener.
type statusLook struct {
	tool *cli.App
	cfg  config.Config
	wcfg pipeline.Config

	queue *queue.Queue // nil until attached
	done  func()
}

func (l *statusLook) release() {
	if l.done != nil {
		l.done()
	}
}

// gather returns the state as far as it is known, and an error if it is incomplete.
func (l *statusLook) gather(ctx context.Context) (app.Status, error) {
	local := make(chan *app.Status, 1)
	go func() { local <- askLocal(ctx, l.cfg.HTTP.Config) }()
	st := app.NewStatus()
	fleet, err := l.fleet(ctx)
	if err == nil {
		st.Status = &fleet
	}

	here := <-local
	if here == nil {
		return st, err
	}

	st.ID = here.ID
	st.Role = here.Role
	st.Parts = here.Parts
	st.UploadsInProgress = here.UploadsInProgress
	st.Watch = here.Watch
	st.Sinks = here.Sinks
	st.Token = here.Token
	switch {
	case err != nil:
		st.Away = cmp.Or(here.Away, &app.Away{Since: st.Time, Reason: err.Error()})
		return st, cli.Exit(cli.Unreachable, err)
	case here.Token != nil && here.Status != nil: // the limits of a running worker apply, not those of our configuration
		st.Uploads = here.Uploads
		st.Queries = here.Queries
	}

	return st, nil
}

func (l *statusLook) fleet(ctx context.Context) (queue.Status, error) {
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

// askLocal asks the process on this machine. It returns nil if there is none, or if it requires a
// password.
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
func printStatus(w paper, st app.Status) {
	fmt.Fprintf(w, "%s\n\n", w.say(dim, st.Time.Local().Format("2006-01-02 15:04:05 MST")))
	if st.Status == nil {
		away := "NATS is unreachable"
		if st.Away != nil {
			away = fmt.Sprintf("NATS has been unreachable since %s: %s", clock(st.Away.Since), printable(st.Away.Reason))
		}

		for _, line := range w.wrapped(away, 0) {
			fmt.Fprintln(w, w.say(notable, line))
		}

		fmt.Fprintf(w, "The state of the fleet is unknown. State of the process on this machine (%s):\n", printable(st.Role))
		printLocal(w, st)

		return
	}

	printNotice(w, st.Simulated)
	for _, b := range pipeline.Budgets() {
		if p, on := st.Paused[b]; on && !p.Spent {
			for _, line := range w.wrapped(fmt.Sprintf("PAUSED: %s until %s: %s", b, clock(p.Until), printable(p.Reason)), 0) {
				fmt.Fprintln(w, w.say(notable, line))
			}

			fmt.Fprintln(w)
		}
	}

	printJobs(w, st)
	lanes := newTable("LANE", ">JOBS", ">HELD", ">OLDEST")
	for _, p := range pipeline.Priorities() {
		l := st.Lanes[p]
		lanes.add(plain, string(p), strconv.FormatUint(l.Waiting, 10), strconv.Itoa(l.Held), ago(l.Oldest))
	}

	lanes.print(w)
	printSources(w, "queued", queuedBy(st))
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
			lasts = clock(b.s.LastsUntil)
		}

		budgets.add(tone, b.name, strconv.Itoa(b.s.Used), strconv.Itoa(b.s.Limit), bar(b.s.Used, b.s.Limit, 20), clock(b.s.ResetsAt), lasts)
	}

	budgets.print(w)
	printSources(w, "uploads", st.Uploads.By)
	printMembers(w, st)
	printDuties(w, st)
	fmt.Fprintln(w)
	printDead(w, st.Dead)
	printLocal(w, st)
}

// queuedBy counts the queued jobs of each source over all lanes.
func queuedBy(st app.Status) map[string]int {
	by := map[string]int{}
	for _, lane := range st.Lanes {
		for source, n := range lane.By {
			by[source] += n
		}
	}

	return by
}

// mostSources is how many sources are listed; those with the most jobs come first.
const mostSources = 10

// printSources prints the share of each source.
func printSources(w paper, what string, by map[string]int) {
	if len(by) == 0 {
		return
	}

	sources := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b))
	})

	var parts []string
	for i, source := range sources {
		if i == mostSources {
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
func printJobs(w paper, st app.Status) {
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
			what += ", until " + clock(j.s.Until)
		}

		t.add(plain, j.name, strconv.Itoa(j.s.Jobs), ago(j.s.Oldest), or(what))
	}

	t.print(w)
	printReportsWaiting(w, st.Reports)
	fmt.Fprintln(w)
}

// printReportsWaiting prints how many reports have not been fetched yet.
func printReportsWaiting(w paper, r *queue.ReportsStatus) {
	if r == nil {
		return
	}

	line := "reports: none to fetch"
	if r.Waiting > 0 {
		line = fmt.Sprintf("reports: %d to fetch, the first requested %s", r.Waiting, ago(r.Oldest))
	}
	if r.Reason != "" {
		line += "; " + r.Reason
	}

	fmt.Fprintf(w, "\n%s\n", strings.Join(w.wrapped(printable(line), 0), "\n"))
}

// printMembers prints the processes of the fleet and their faults.
func printMembers(w paper, st app.Status) {
	fmt.Fprintln(w)
	if len(st.Workers()) == 0 {
		fmt.Fprintln(w, w.say(notable, "no worker is running: start `backburn run` or `worker`"))
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

		up := span(time.Since(m.Started))
		state := string(m.State)
		tone := plain
		if m.State != health.OK {
			tone = notable
		}

		if m.Gone {
			up = "-"
			state = "GONE, last seen " + ago(m.Seen)
			tone = notable
		}

		t.add(tone,
			printable(role),
			printable(m.Host),
			strconv.Itoa(m.PID),
			printable(or(m.Version)),
			printable(or(m.Config)),
			strconv.Itoa(m.Slots),
			up,
			state)
		for _, p := range m.Unwell {
			if !m.Gone {
				why.add(notable, printable(m.Role+" "+strconv.Itoa(m.PID)), printable(p.Name()), string(p.State), ago(p.Since), printable(p.Text()))
			}
		}
	}

	t.print(w)
	if len(why.rows) > 0 {
		fmt.Fprintln(w)
		why.print(w)
	}
}

// printDuties prints the folders, sinks and tokens of other processes. printLocal shows those of
// the local process in more detail.
func printDuties(w paper, st app.Status) {
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
			folders.add(toneOf(f.State == watch.StateOK),
				printable(f.Path), printable(f.Source), host, printable(f.State), strconv.Itoa(f.Pending), strconv.Itoa(f.InFlight))
		}

		for _, s := range m.Sinks {
			sinks.add(toneOf(s.State == sink.StateOK),
				printable(s.Name), printable(s.Kind), host, printable(s.State), strconv.FormatUint(s.Behind, 10), ago(s.Last))
		}

		for _, t := range m.Tokens {
			tokens.add(toneOf(t.State != "rejected" && t.State != "expired"), printable(t.Profile), host, printable(t.State), clock(t.Expires))
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
func printDead(w paper, dead map[string]uint64) {
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
func printLocal(w paper, st app.Status) {
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

			t.add(toneOf(f.State == watch.StateOK),
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
			t.add(plain, printable(f.Filename), humanSize(f.Sent), humanSize(f.Total), bar(int(f.Sent), int(f.Total), 20), ago(f.Since))
		}

		t.print(w)
	}
}

// printSinks prints the state of the sinks.
func printSinks(w paper, sinks []sink.Status) {
	if len(sinks) == 0 {
		return
	}

	fmt.Fprintln(w)
	t := newTable("~SINK", "KIND", "=STATE", ">SINCE", ">BEHIND", ">LAST")
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

		t.add(toneOf(s.Cause == ""), printable(s.Name), s.Kind, printable(state), ago(s.Since), strconv.FormatUint(s.Behind, 10), last)
	}

	t.print(w)
}

// printParts prints the parts of the local process that are not well or have a note.
func printParts(w paper, st app.Status) {
	t := newTable("~PART HERE", "STATE", ">SINCE", "=REASON")
	for _, p := range st.Parts {
		if p.State != health.OK && p.State != health.Unknown || p.Note != "" {
			t.add(toneOf(p.State == health.OK), printable(p.Name()), string(p.State), ago(p.Since), printable(p.Text()))
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
func printTroubles(w paper, folders []watch.Status) {
	t := newTable("~FILE IN TROUBLE", "~SOURCE", ">SINCE", "=REASON")
	for _, f := range folders {
		for _, file := range f.Troubles {
			t.add(notable, printable(file.Path), f.Source, ago(file.Since), printable(file.Reason))
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
