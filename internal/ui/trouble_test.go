package ui_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/admin"
	"backburn/internal/app"
	"backburn/internal/health"
	"backburn/internal/history"
	"backburn/internal/sink"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
	"backburn/results"
)

// serve serves a page with an invented state.
func serve(t *testing.T, state func() (app.Status, error), past *fakeHistory) string {
	t.Helper()
	cfg := admin.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := admin.New(cfg, admin.Deps{
		Status: func(context.Context) (any, error) { return state() },
		Page: ui.New(ui.Config{
			History: past,
			Trace:   func(context.Context, queue.TraceQuery) (queue.Trace, error) { return past.trace, past.err },
			Portal:  "https://wildfire.paloaltonetworks.com/",
			Log:     zerolog.Nop(),
			User:    alice,
			Actions: func(string, string) ui.Actions { return unusedActions{} },
		}),
	})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Second) }()
	t.Cleanup(func() { cancel(); check(t, <-done) })

	return "http://" + s.Addr().String() + "/"
}

// faultyStatus is a fleet in which everything is wrong.
func faultyStatus() app.Status {
	now := time.Now().UTC().Truncate(time.Second)
	return app.Status{
		Time: now,
		Role: "run",
		Parts: []health.Status{
			{Part: "nats", State: health.OK, Since: now},
			{Part: "folder", Of: "mail", State: health.Failed, Since: now.Add(-time.Hour), Reason: "the folder is gone", Remedy: "mount it again"},
			{Part: "folder_files", Of: "proxy", State: health.OK, Since: now, Note: "files in trouble: 1; longest: \"a\": cannot be opened"},
			{Part: "wildfire", State: health.Degraded, Since: now.Add(-time.Minute), Cause: health.CauseTCP, Reason: "WildFire cannot be reached: connection refused", Remedy: "check the network"},
		},
		Status: &queue.Status{
			Time:   now,
			Paused: map[pipeline.Budget]fleet.Pause{pipeline.Uploads: {Until: now.Add(9 * time.Minute), Reason: "the credential is refused <b>(401)</b>"}},
			Lanes: map[pipeline.Priority]queue.LaneStatus{
				pipeline.Urgent: {Queued: 12, Held: 8, Oldest: now.Add(-95 * time.Minute)}, pipeline.Normal: {Queued: 48211, Oldest: now.Add(-50 * time.Hour)},
			},
			Uploads: fleet.BudgetStatus{Used: 150, Limit: 150, ResetsAt: now.Add(5 * time.Hour), Spent: true},
			Queries: fleet.BudgetStatus{Used: 900, Limit: 1050, ResetsAt: now.Add(5 * time.Hour), LastsUntil: now.Add(time.Hour)},
			Members: []fleet.Member{
				{ID: "w1", Role: "watcher", Host: "mx1", PID: 7, Version: "1.2.3", Config: "0badcafe", Started: now.Add(-time.Hour), Gone: true, Seen: now.Add(-5 * time.Minute)},
				{
					ID: "a1", Role: "api", Host: "mx2", PID: 8, Version: "1.2.3", Config: "0badcafe", Started: now.Add(-time.Hour), State: health.Degraded,
					Unwell: []health.Status{{Part: "queue", State: health.Degraded, Since: now, Reason: "nearly full"}},
				},
				{
					ID: "w2", Role: "watcher", Host: "mx3", PID: 9, Version: "1.2.3", Config: "0badcafe", Started: now.Add(-time.Hour), State: health.OK,
					Duties: fleet.Duties{
						Folders: []fleet.Folder{{Path: "/srv/share/<b>incoming</b>", Source: "share", State: "degraded", Pending: 12, InFlight: 3456}},
						Sinks:   []fleet.Sink{{Name: "thehive", Kind: "webhook", State: "retrying", Behind: 98765, Last: now.Add(-2 * time.Hour)}},
						Tokens:  []fleet.Token{{Profile: "wildfire", State: "rejected", Shared: true, Expires: now.Add(-time.Minute)}},
						Omitted: 7,
					},
				},
			},
			Queued:  queue.WaitStatus{Jobs: 48223, Oldest: now.Add(-50 * time.Hour)},
			Pending: queue.WaitStatus{Jobs: 1, Oldest: now.Add(-3 * time.Minute)},
			Parked:  queue.WaitStatus{Jobs: 61, Oldest: now.Add(-time.Hour), Reason: "today's uploads are used up", Until: now.Add(5 * time.Hour)},
			Dead:    map[string]uint64{"attempts_exhausted": 7, "unsupported_type": 2311},
		},
		UploadsInProgress: []worker.Upload{{Job: "j", Filename: strings.Repeat("a-very-long-name-without-a-break", 6) + ".iso", Sent: 34_500_000, Total: 98_000_000, Since: now.Add(-20 * time.Second)}},
		Token: &auth.Status{
			Name: "wildfire", Kind: auth.KindWildFire, State: "rejected", Shared: true, LastError: "wildfire: invalid_client (401)",
			Obtained: now.Add(-time.Hour), Expires: now.Add(-45 * time.Minute),
		},
		Sinks: []sink.Status{{Name: "splunk", Kind: "webhook", State: "retrying", Since: now.Add(-time.Hour), Cause: "503", Behind: 1234, Last: now.Add(-time.Hour)}},
		Watch: []watch.Status{
			{Path: "/srv/mail/quarantine/incoming/attachments", Source: "mail", State: watch.StateDegraded, Reason: "the folder is gone; mount it again", Pending: 3, InFlight: 1000, Finished: 123456},
			{Path: "/srv/proxy", Source: "proxy", State: watch.StateOK, Mode: "poll", Held: "max_in_flight is reached"},
		},
	}
}

// fakeHistory is an invented history.
type fakeHistory struct {
	summary *history.Summary
	state   history.State
	trace   queue.Trace
	err     error

	mu   sync.Mutex
	last uint64
}

func newFakeHistory() *fakeHistory {
	return &fakeHistory{summary: history.NewSummary(history.DefaultLimits()), state: history.State{Ready: true}}
}

func (p *fakeHistory) Summary() (*history.Summary, history.State) { return p.summary, p.state }

// add adds an event.
func (p *fakeHistory) add(e results.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	p.summary.Add(e, p.last)
}

// historyOf returns a history of n events, one per minute until now.
func historyOf(n int) *fakeHistory {
	p := newFakeHistory()
	outcomes := []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}
	for i := range n {
		at := time.Now().Add(-time.Duration(n-i) * time.Minute)
		p.add(results.Event{Type: results.Verdict, Time: at, Data: results.Data{
			JobID:      fmt.Sprint("j", i),
			Source:     "mail",
			Filename:   fmt.Sprintf("Angebot Nr. %d für Frau Müller.docx", i),
			Path:       fmt.Sprintf("/srv/mail/quarantine/Angebot Nr. %d für Frau Müller.docx", i),
			SHA256:     strings.Repeat("0f", 32),
			Size:       12345,
			Verdict:    outcomes[i%len(outcomes)],
			Basis:      results.BasisUpload,
			ReceivedAt: at.Add(-time.Duration(i%7+1) * 11 * time.Second),
			DecidedAt:  at,
		}})
	}

	return p
}

// maxTransferred is the limit, in bytes, for opening the page with its initial data: the page, the
// state of the fleet, the last 24 hours, and the newest 50 files.
const maxTransferred = 150_000

// transferSize is the size of transferred data, in bytes.
type transferSize struct {
	Page     int `json:"page"`
	All      int `json:"all"`      // with every answer so far, and headers
	Unpacked int `json:"unpacked"` // without headers
}

// transferScript returns the transferSize of the current page.
const transferScript = `(() => {
  const page = performance.getEntriesByType("navigation")[0], all = [page, ...performance.getEntriesByType("resource")];
  const sum = key => all.reduce((n, e) => n + e[key], 0);
  return { page: page.transferSize, all: sum("transferSize"), unpacked: sum("decodedBodySize") };
})()`

func TestPageInTrouble(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return faultyStatus(), nil }, historyOf(60))))
	waitUntil(t, ctx, `document.querySelector("#attention").dataset.level === "bad" && document.querySelector("#stream").dataset.state === "live"`)
	opened := evaluate[transferSize](t, ctx, transferScript)
	t.Logf("opening the page transfers %d bytes, of which %d are the page; unpacked they are %d", opened.All, opened.Page, opened.Unpacked)
	if opened.All > maxTransferred || opened.Unpacked > maxTransferred || opened.Page == 0 {
		t.Errorf("opening the page transfers %+v bytes, more than %d", opened, maxTransferred)
	}

	runActions(t, ctx, chromedp.Click(chromedp.CSS("section[aria-labelledby=queue-h] summary")))
	problems := text(t, ctx, "#attention")
	for _, want := range []string{
		"Uploads are paused until ", ": the credential is refused <b>(401)</b>", "No worker is running",
		"Folder mail has failed since ", ": the folder is gone; mount it again", "WildFire is degraded since ", "Folder files proxy: files in trouble: 1",
		"The watcher on mx1 is gone, last seen 5 min ago", "The api on mx2 is degraded: queue: nearly full", "Today's uploads are used up: jobs that need them continue at ", "7 dead letters need a look",
	} {
		if !strings.Contains(problems, want) {
			t.Errorf("the problems are\n%s\nwithout %q", problems, want)
		}
	}

	if commands := evaluate[[]string](t, ctx, `[...document.querySelectorAll("#attention code")].map(e => e.innerText)`); !slices.Equal(commands, []string{"backburn run", "worker", "backburn dead list"}) {
		t.Errorf("the commands among them are %q", commands)
	}
	if title := evaluate[string](t, ctx, "document.title"); title != "(9) Backburn" {
		t.Errorf("the title is %q", title)
	}

	for selector, want := range map[string]string{
		"#lanes":           "normal\t48,211\t0\t2 d 2 h",
		"#budget-uploads":  "paused until",
		"#budget-queries":  "at this pace, used up at",
		"#dead-h":          "Dead letters: 2,318",
		"#dead":            "attempts_exhausted\t7\tneeds a person",
		"#uploading":       "34.5 MB of 98.0 MB",
		"#token":           "has expired",
		"#watch":           "max_in_flight is reached",
		"#jobs":            "today's uploads are used up; continues at",
		"#queue-h + table": "\t61\t1 h 0 min",
		"#sinks":           "splunk",
		"#members":         "gone",
		"#folders":         "/srv/share/<b>incoming</b>\nsource share\nwatcher on mx3\n\tdegraded\t12\t3,456",
		"#fleet-sinks":     "thehive\nwebhook\nwatcher on mx3\n\tretrying\t98,765\t2 h 0 min ago",
		"#tokens":          "wildfire\nwatcher on mx3\n\trejected\nshared with the fleet\n\thas expired",
		"#omitted":         "7 more folders and sinks",
		"#parts":           "connection refused",
	} {
		if got := text(t, ctx, selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, not %q", selector, got, want)
		}
	}

	if n := evaluate[int](t, ctx, `document.querySelectorAll("#events li").length`); n != 50 {
		t.Errorf("the list has %d rows", n)
	}

	screenshots(t, ctx, "trouble")
}

// Every control can be reached with the keyboard, and has a name.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return faultyStatus(), nil }, historyOf(2))))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 2 &&
		document.querySelector("#pause").innerText === "Resume uploads…" && document.querySelector("#pause").checkVisibility()`)
	var reached []string
	for len(reached) < 13 {
		runActions(t, ctx, chromedp.KeyEvent("\t"))
		reached = append(reached, evaluate[string](t, ctx, `(e => (e.labels?.[0] ?? e).innerText.trim().split("\n")[0])(document.activeElement)`))
	}

	want := []string{"Files", "1", "1", "0", "The same as a table", "Queue by lane", "Resume uploads…", "Find", "Verdict", "Source", "Time", "malware", "benign"}
	if !slices.Equal(reached, want) {
		t.Errorf("Tab goes to %q, not %q", reached, want)
	}

	runActions(t, ctx, chromedp.KeyEvent("\r"))
	waitUntil(t, ctx, `document.querySelector("#file").open && document.querySelector("#file-state").innerText.startsWith("benign since ")`)
	runActions(t, ctx, chromedp.EmulateViewport(390, 844))
	screenshot(t, ctx, "open")
	runActions(t, ctx, chromedp.KeyEvent("\x1b"))
	waitUntil(t, ctx, `!document.querySelector("#file").open && document.activeElement.dataset.job === "mail/j0"`)
	unnamed := evaluate[[]string](t, ctx, `[...document.querySelectorAll("section, table, [role=meter], progress, ol, input")].filter(e =>
		!(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.caption || e.labels?.length)).map(e => e.outerHTML)`)
	if len(unnamed) > 0 {
		t.Errorf("without a name: %q", unnamed)
	}
}

// A page that is opened while NATS is unreachable shows the process's own parts, and says that the
// rest is unknown.
func TestPageOfAProcessWithoutNATS(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	unread := newFakeHistory()
	unread.state = history.State{Error: "NATS is unreachable"}
	st := faultyStatus()
	st.Status = nil
	st.Away = &app.Away{Since: time.Now().Add(-time.Minute), Reason: "NATS is unreachable (reconnecting)"}
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return st, nil }, unread)))
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "away" && !document.querySelector("#away").hidden`)
	if got := text(t, ctx, "#away"); !strings.Contains(got, "NATS has been unreachable since ") || !strings.Contains(got, "(reconnecting)") {
		t.Errorf("it says %q", got)
	}

	page := evaluate[string](t, ctx, "document.body.innerText")
	for _, untrue := range []string{"No worker is running", "watches no folder", "uses no token", "Nothing is being uploaded", "None."} {
		if strings.Contains(page, untrue) {
			t.Errorf("the page says %q:\n%s", untrue, page)
		}
	}

	for _, want := range []string{"/srv/mail/quarantine/incoming/attachments", "invalid_client", "connection refused", "34.5 MB of 98.0 MB"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}

	screenshots(t, ctx, "away")
}

// A page of a simulation says so, and one of a real fleet does not.
func TestPageOfASimulation(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	for _, simulated := range []bool{true, false} {
		st := faultyStatus()
		st.Simulated = simulated
		runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return st, nil }, newFakeHistory())))
		waitUntil(t, ctx, `document.querySelector("#jobs").innerText.includes("At WildFire")`)
		if shown := evaluate[bool](t, ctx, `!document.querySelector("#simulated").hidden`); shown != simulated {
			t.Errorf("simulated %v: the page says so: %v", simulated, shown)
		}
	}
}

// New events of an open file are shown.
func TestAnOpenFileFollowsItsEvents(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	past := historyOf(1)
	url := serve(t, func() (app.Status, error) { return faultyStatus(), nil }, past)
	runActions(t, ctx, chromedp.Navigate(url+"#job=mail/j0"))
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("benign since ")`)
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "live"`)
	// The page requested it twice: when it was opened, and when the user became known.
	waitUntil(t, ctx, `performance.getEntriesByType("resource").filter(e => e.name.includes("api/job")).length === 2`)
	past.add(results.Event{Type: results.Changed, Time: time.Now(), Data: results.Data{
		JobID:     "j0",
		Source:    "mail",
		Filename:  "Angebot.docx",
		SHA256:    strings.Repeat("0f", 32),
		Verdict:   "malware",
		DecidedAt: time.Now(),
	}})
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("malware since ")`)
}

// The page of a file shows the state of WildFire's report about it.
func TestAFileSaysWhatBecameOfItsReport(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	for state, want := range map[results.ReportStatus]string{
		results.ReportAvailable: "available since ",
		results.ReportMissing:   "WildFire has none since ",
	} {
		past := historyOf(1)
		past.trace.Sample = &queue.SampleTrace{
			Key:    strings.Repeat("0f", 32),
			Report: &pipeline.ReportNote{State: state, At: time.Now()},
		}
		past.trace.Timeline = []queue.TraceEntry{{Time: time.Now(), What: "report", Detail: "domains: 1; kept: xml"}}
		url := serve(t, func() (app.Status, error) { return faultyStatus(), nil }, past)
		runActions(t, ctx, chromedp.Navigate(url+"#job=mail/j0"))
		waitUntil(t, ctx, `document.querySelector("#facts").innerText.includes("`+want+`")`)
		waitUntil(t, ctx, `document.querySelector("#steps").innerText.includes("Report") && document.querySelector("#steps").innerText.includes("domains: 1")`)
		stix := evaluate[bool](t, ctx, `document.querySelector("#commands").innerText.includes("--format stix")`)
		if stix != (state == results.ReportAvailable) {
			t.Errorf("%s: the page offers the report's indicators: %v", state, stix)
		}
	}
}
