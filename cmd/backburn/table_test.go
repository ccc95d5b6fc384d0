package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
	"backburn/results"
)

// hostileNames are names that try to imitate other output.
var hostileNames = []string{
	"esc\x1b[31mred\x1b[2J\x1b]0;title\a.exe",
	"two\nMALWARE lines\r.exe",
	"invoice\u202efdp.exe",
	"\u2066isolated\u2069.exe",
	"zero\u200bwidth\ufeff.exe",
	"bad\xff\xfeutf8.exe",
	"c1\u009b31mcsi.exe",
	strings.Repeat("é", 100) + ".exe",
	strings.Repeat("文", 80) + ".exe",
	"e" + strings.Repeat("\u0301", 100) + ".exe",
	strings.Repeat("😀", 60) + ".exe",
	strings.Repeat("a", 251) + ".exe",
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// checkTerminalOutput fails if text is wider than the terminal, or contains control sequences other
// than our colors.
func checkTerminalOutput(t *testing.T, text string, width int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		plain := escapes.ReplaceAllString(line, "")
		if n := runewidth.StringWidth(plain); n > width {
			t.Errorf("%d columns, of %d:\n%s", n, width, line)
		}
		if cli.Printable(plain) != plain {
			t.Errorf("%q is not harmless", line)
		}
	}
}

func TestTableFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{40, 80, 132} {
		for _, color := range []bool{true, false} {
			var b bytes.Buffer
			table := newTable(">SEQ", "~NAME", ">SIZE", "=WHY")
			for _, name := range hostileNames {
				table.add(alarm, "1", cli.Printable(name), "1.2 kB", cli.Printable(name)+" is why, and there are words to break between")
			}
			table.print(textWriter{&b, cli.Screen{Color: color, Width: width}})
			checkTerminalOutput(t, b.String(), width)
			if strings.Contains(b.String(), "\x1b") != color {
				t.Errorf("colors %v:\n%q", color, b.String())
			}
		}
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text  string
		width int
		want  string
	}{
		{"short.exe", 20, "short.exe"},
		{"a-very-long-invoice.pdf.exe", 16, "a-very-lon…f.exe"},
		{"文文文文文文.exe", 10, "文文文…exe"},
		{"anything", 2, "anything"},
	} {
		got := shorten(tc.text, tc.width)
		if n := runewidth.StringWidth(got); got != tc.want || tc.width > 2 && n > tc.width {
			t.Errorf("%q in %d: %q of %d, want %q", tc.text, tc.width, got, n, tc.want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	got := strings.Join(wrap("the folder is gone; mount it again-and-again-and-again", 14), "|")
	if want := "the folder is|gone; mount|it again-and-a|gain-and-again"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := wrap("", 10); len(got) != 1 {
		t.Errorf("an empty text takes %d lines", len(got))
	}
}

// Malicious verdicts stand out without colors.
func TestStyleVerdict(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[string]string{"benign": "benign", "malware": "MALWARE", "phishing": "PHISHING", "c2": "C2", "grayware": "GRAYWARE", "unrecognised": "unrecognised"} {
		if got, tone := styleVerdict(verdict); got != want || (tone == plain) != (got == verdict) {
			t.Errorf("%s is shown as %s, %d", verdict, got, tone)
		}
	}
}

func TestResultCounts(t *testing.T) {
	t.Parallel()
	var all resultCounts
	if got := all.summary(textWriter{}); got != "" {
		t.Errorf("nothing is %q", got)
	}

	final := func(verdict, link string) results.Event {
		return results.Event{Type: results.Verdict, Data: results.Data{Verdict: verdict, URL: link}}
	}
	for range 489 {
		all.addEvent(final("benign", ""))
	}

	for range 9 {
		all.addEvent(final("malware", ""))
	}

	for range 3 {
		all.addEvent(results.Event{Type: results.Failed, Data: results.Data{Error: &results.Error{Reason: results.TooLarge}}})
	}

	all.addEvent(results.Event{Type: results.Submitted})
	if got, want := all.summary(textWriter{}), "501 files: 489 benign, 9 malware, 3 failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}

	all.addEvent(final("phishing", "https://example.com/"))
	all.addEvent(final("later\x1b", ""))
	all.add(undecided, false)
	want := `503 files and 1 link: 489 benign, ` + "\x1b[1;31m9 malware\x1b[0m, \x1b[1;31m1 phishing\x1b[0m, \x1b[33m3 failed\x1b[0m" + `, 1 without a verdict, 1 later\x1b`
	if got := all.summary(textWriter{screen: cli.Screen{Color: true}}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// faultyFleet is a fleet in which everything is wrong, with an attacker's names wherever possible.
func faultyFleet() app.Status {
	now := time.Now()
	st := app.NewStatus()
	st.Role = "run"
	st.Status = &queue.Status{
		Paused:  map[pipeline.Budget]fleet.Pause{pipeline.Uploads: {Until: now.Add(time.Minute), Reason: hostileNames[0] + strings.Repeat(" the credential is refused", 6)}},
		Uploads: fleet.BudgetStatus{Used: 75, Limit: 150, By: map[string]int{"mail": 40, strings.Repeat("p", 32): 20, strings.Repeat("q", 32): 15}},
		Lanes:   map[pipeline.Priority]queue.LaneStatus{pipeline.Bulk: {Queued: 9, By: map[string]int{hostileNames[0]: 4, "mail": 5}}},
		Queries: fleet.BudgetStatus{Used: 1050, Limit: 1050, Spent: true, ResetsAt: now.Add(48 * time.Hour)},
		Parked:  queue.WaitStatus{Jobs: 48_211, Reason: "today's uploads are used up", Until: now.Add(48 * time.Hour), Oldest: now.Add(-50 * time.Hour)},
		Dead:    map[string]uint64{"attempts_exhausted": 7, "unsupported_type": 2311},
	}
	token := auth.Status{
		Name:      "wildfire",
		Kind:      auth.KindWildFire,
		State:     "rejected",
		LastError: hostileNames[0],
		Obtained:  now.Add(-time.Hour),
		Expires:   now,
	}
	st.Token = &token
	for _, name := range hostileNames {
		m := fleet.Member{
			Role:    "worker",
			Host:    name,
			PID:     123456,
			Version: "1.2.3",
			Config:  "0badcafe",
			Started: now.Add(-time.Hour),
			State:   health.Degraded,
			Slots:   8,
		}
		m.Unwell = []health.Status{{Part: "folder", Of: "mail", State: health.Failed, Reason: name, Remedy: name}}
		m.Duties = fleet.Duties{
			Folders: []fleet.Folder{{Path: "/srv/" + name, Source: "mail", State: "failed", Pending: 123_456, InFlight: 1000}},
			Sinks:   []fleet.Sink{{Name: "splunk", Kind: "webhook", State: "retrying", Behind: 1_234_567, Last: now.Add(-time.Hour)}},
			Tokens:  []fleet.Token{{Profile: "wildfire", State: "rejected", Expires: now.Add(-48 * time.Hour)}},
			Omitted: 7,
		}
		st.Members = append(st.Members, m)
		st.Parts = append(st.Parts, m.Unwell...)
		st.UploadsInProgress = append(st.UploadsInProgress, worker.Upload{Filename: name, Sent: 34_500_000, Total: 98_000_000, Since: now})
		folder := watch.Status{
			Path:     "/srv/" + name,
			Source:   "mail",
			State:    watch.StateDegraded,
			Reason:   name,
			Claimed:  123_456,
			Finished: 123_456,
		}
		folder.Troubles = []watch.Trouble{{Path: name, Reason: name, Since: now}}
		folder.Troubled = 2
		st.Watch = append(st.Watch, folder)
	}

	st.Sinks = []sink.Status{{Name: "splunk", Kind: "webhook", State: "retrying", Cause: hostileNames[1], Remedy: hostileNames[2], Behind: 1234}}

	return st
}

func TestStatusOnATerminal(t *testing.T) {
	t.Parallel()
	away := faultyFleet()
	away.Status = nil
	away.Away = &app.Away{Since: time.Now(), Reason: strings.Repeat("NATS does not answer ", 8) + hostileNames[0]}
	for name, st := range map[string]app.Status{"bad day": faultyFleet(), "away": away} {
		for _, color := range []bool{true, false} {
			var b bytes.Buffer
			printStatus(textWriter{&b, cli.Screen{Color: color, Width: 80}}, st)
			checkTerminalOutput(t, b.String(), 80)
			if strings.Contains(b.String(), "\x1b") != color {
				t.Errorf("%s: colors %v", name, color)
			}
		}
	}

	var b bytes.Buffer
	printStatus(textWriter{&b, cli.Screen{Color: true}}, faultyFleet())
	for _, want := range []string{"\x1b[33mqueries  1050   1050  [####################]", "uploads    75    150  [##########..........]", "\x1b[33mattempts_exhausted", "FLEET'S FOLDER", "1234567  1h0m ago", "\x1b[33mwildfire", "more folders and sinks"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// --watch stays within the window, because an extra line would scroll it.
func TestRefreshKeepsWithinTheWindow(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := refresh(&b, cli.Screen{Terminal: true, Height: 10}, []byte(strings.Repeat("line\n", 30)), true); err != nil {
		t.Error(err)
	}
	if got := b.String(); strings.Count(got, "\n") > 9 || !strings.Contains(got, "22 more lines") {
		t.Errorf("%d lines: %q", strings.Count(got, "\n"), got)
	}
	b.Reset()
	if err := refresh(&b, cli.Screen{}, []byte("line\n"), true); err != nil {
		t.Error(err)
	}
	if b.String() != "line\n\n" {
		t.Errorf("without a terminal: %q", b.String())
	}
}

func TestTraceOnATerminal(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour)
	for _, name := range hostileNames {
		trace := queue.Trace{
			State:    "done",
			Since:    at,
			WaitsFor: name + strings.Repeat(" and its verdict", 10),
			Sample: &queue.SampleTrace{
				Key:       strings.Repeat("0f", 32),
				State:     "verdict",
				Verdict:   "malware",
				CheckedAt: at,
				Rule:      name,
			},
			Timeline: []queue.TraceEntry{
				{Time: at, What: "submitted", Job: name, Source: "mail", Name: name, Detail: "WildFire accepted the upload"},
				{Time: at.Add(125 * time.Second), What: "verdict", Job: name, Source: "mail", Name: name, Detail: "malware, by upload"},
			},
		}
		var one, two bytes.Buffer
		printTrace(textWriter{&one, cli.Screen{Color: true, Width: 80}}, queue.TraceQuery{}, trace)
		checkTerminalOutput(t, one.String(), 80)
		if want := "+2m5s  verdict    MALWARE, by upload\x1b[0m\n"; !strings.Contains(one.String(), want) {
			t.Errorf("no %q in\n%s", want, one.String())
		}

		trace.Timeline = append(trace.Timeline, queue.TraceEntry{
			Time:   at,
			What:   "failed",
			Job:    "other",
			Source: "proxy",
			Name:   name,
			Detail: name,
		})
		printTrace(textWriter{&two, cli.Screen{Width: 80}}, queue.TraceQuery{}, trace)
		checkTerminalOutput(t, two.String(), 80)
	}
}

func TestResultsOnATerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{80, 100} {
		for _, name := range hostileNames {
			var b bytes.Buffer
			p := textWriter{&b, cli.Screen{Color: true, Width: width}}
			l := newEventList(&cli.App{}, nil)
			e := results.Event{Type: results.Verdict, Time: time.Now(), Data: results.Data{Verdict: "malware", Path: name, Source: strings.Repeat("s", 32), Size: 98_765_432_100}}
			l.print(p, e)
			e.Type = results.Changed
			e.Data.Verdict = "grayware"
			l.print(p, e)
			e.Type = results.Failed
			e.Data.Verdict = ""
			e.Data.Error = &results.Error{Reason: results.AttemptsExhausted, Message: name}
			l.print(p, e)
			acts := newEventList(&cli.App{}, []results.Type{results.Audited})
			e = results.Event{Type: results.Audited, Time: time.Now(), Data: results.Data{Audit: &results.Audit{
				Action: results.AuditRecheck,
				Status: results.AuditFailed,
				By:     name,
				Via:    results.AuditCommand,
				From:   name,
				URL:    "https://example.com/" + name,
				Result: name,
			}}}
			l.print(p, e)
			acts.print(p, e)
			checkTerminalOutput(t, b.String(), width)
			if want := "\x1b[33m" + eventTime(p, e.Time) + "  recheck  failed     "; !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
			if !strings.Contains(b.String(), "MALWARE") || !strings.Contains(b.String(), "now GRAYWARE") || !strings.Contains(b.String(), "attempts_exhausted  ") {
				t.Errorf("got\n%s", b.String())
			}
		}
	}
}

// In a pipe, names are complete.
func TestListsInAPipe(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("long", 50)
	for kind, e := range map[results.Type]results.Event{
		results.Submitted: {Data: results.Data{Path: name, Source: "mail", JobID: "4711"}},
		results.Audited:   {Data: results.Data{Audit: &results.Audit{By: name, SHA256: "0f"}}},
		results.Verdict:   {Data: results.Data{Path: name, Source: "mail", Verdict: "benign"}},
	} {
		var b bytes.Buffer
		e.Type = kind
		newEventList(&cli.App{}, []results.Type{kind}).print(textWriter{Writer: &b}, e)
		if !strings.Contains(b.String(), name) || strings.Count(b.String(), "\n") != 1 {
			t.Errorf("%s: %q", kind, b.String())
		}
	}
}

// Every flag for a duration also accepts days.
func TestEveryDurationTakesDays(t *testing.T) {
	t.Parallel()
	root := rootCommand(cli.Std{Env: func(string) (string, bool) { return "", false }})
	flags := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, name := range []string{"since", "until", "timeout", "delay", "jitter", "token-lifetime", "simulate-delay", "for"} {
			f := c.Flags().Lookup(name)
			if f == nil || f.Value.Type() == "string" { // config check --for
				continue
			}

			flags++
			if err := f.Value.Set("7d"); err != nil {
				t.Errorf("%s --%s: %v", c.CommandPath(), name, err)
			}

			if f.DefValue != "" && f.DefValue != "0s" {
				if _, err := config.ParseDuration(f.DefValue); err != nil {
					t.Errorf("%s --%s: the default is %q", c.CommandPath(), name, f.DefValue)
				}
			}
		}

		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	if flags < 10 {
		t.Errorf("only %d flags were found", flags)
	}
}
