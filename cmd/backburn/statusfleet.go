package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// printStatus prints the state for people.
func printStatus(w textWriter, st app.Status) {
	fmt.Fprintf(w, "%s\n\n", w.styled(dim, st.Time.Local().Format("2006-01-02 15:04:05 MST")))
	if st.Status == nil {
		away := "NATS is unreachable"
		if st.Away != nil {
			away = fmt.Sprintf("NATS has been unreachable since %s: %s", formatTime(st.Away.Since), cli.Printable(st.Away.Reason))
		}

		w.paragraph(notable, away)
		fmt.Fprintf(w, "The state of the fleet is unknown. State of the process on this machine (%s):\n", cli.Printable(st.Role))
		printLocal(w, st)

		return
	}

	printNotice(w, st.Simulated)
	printPauses(w, st)
	printJobs(w, st)
	printLanes(w, st)
	printSources(w, "queued", queuedBySource(st))
	printBudgets(w, st)
	printSources(w, "uploads", st.Uploads.By)
	printMembers(w, st)
	printFleetParts(w, st)
	fmt.Fprintln(w)
	printDead(w, st.Dead)
	printLocal(w, st)
}

// printPauses prints the pauses of uploads and queries. A spent budget is not printed as a pause,
// because the table of budgets shows it.
func printPauses(w textWriter, st app.Status) {
	for _, b := range pipeline.Budgets() {
		p, paused := st.Paused[b]
		if !paused || p.Spent {
			continue
		}

		w.paragraph(notable, fmt.Sprintf("PAUSED: %s until %s: %s", b, formatTime(p.Until), cli.Printable(p.Reason)))
		fmt.Fprintln(w)
	}
}

func printLanes(w textWriter, st app.Status) {
	lanes := newTable("LANE", ">JOBS", ">HELD", ">OLDEST")
	for _, p := range pipeline.Priorities() {
		l := st.Lanes[p]
		lanes.add(plain, string(p), strconv.FormatUint(l.Queued, 10), strconv.Itoa(l.Held), formatAge(l.Oldest))
	}

	lanes.section(w)
}

// printBudgets prints the day's budgets and when they will be used up.
func printBudgets(w textWriter, st app.Status) {
	budgets := newTable("BUDGET", ">USED", ">LIMIT", "SPENT", "RESETS", "LASTS UNTIL")
	for _, b := range []struct {
		name   string
		status fleet.BudgetStatus
	}{{"uploads", st.Uploads}, {"queries", st.Queries}} {
		s := b.status
		if s.Limit == 0 && !s.Spent {
			budgets.add(plain, b.name, "not counted", "none", "-", "-", "-")
			continue
		}

		lastsUntil, tone := "the reset", plain
		switch {
		case s.Spent:
			lastsUntil = "spent"
			tone = notable
		case !s.LastsUntil.IsZero():
			lastsUntil = formatTime(s.LastsUntil)
		}

		budgets.add(tone,
			b.name,
			strconv.Itoa(s.Used),
			strconv.Itoa(s.Limit),
			progressBar(s.Used, s.Limit, 20),
			formatTime(s.ResetsAt),
			lastsUntil)
	}

	budgets.section(w)
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
		what := cli.Printable(j.what)
		if !j.s.Until.IsZero() {
			what += ", until " + formatTime(j.s.Until)
		}

		t.add(plain, j.name, strconv.Itoa(j.s.Jobs), formatAge(j.s.Oldest), orDash(what))
	}

	t.print(w)
	printReportsWaiting(w, st.Reports)
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

	fmt.Fprintln(w)
	w.paragraph(plain, cli.Printable(line))
}

func printDead(w textWriter, dead map[string]uint64) {
	if len(dead) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}

	t := newTable("DEAD", ">LETTERS", "")
	for _, expected := range []bool{false, true} {
		for _, reason := range slices.Sorted(maps.Keys(dead)) {
			if results.Reason(reason).Expected() != expected {
				continue
			}

			what, tone := "needs a person", notable
			if expected {
				what = "an ordinary outcome"
				tone = plain
			}

			t.add(tone, cli.Printable(reason), strconv.FormatUint(dead[reason], 10), what)
		}
	}

	t.print(w)
}
