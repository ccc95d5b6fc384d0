package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/auth"
	"backburn/internal/admin"
	"backburn/internal/app"
	"backburn/internal/health"
	"backburn/internal/httpserver"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"

	"github.com/chromedp/chromedp"
)

// serve serves a page for a state that is made up.
func serve(t *testing.T, state func() (app.Status, error), events http.Handler) string {
	t.Helper()
	at := httpserver.DefaultConfig()
	at.Listen = "127.0.0.1:0"
	s, err := admin.New(at, admin.Config{
		Status: func(context.Context) (any, error) { return state() }, Events: events, Page: ui.Handler(),
	})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Second) }()
	t.Cleanup(func() { cancel(); check(t, <-done) })
	return "http://" + s.Addr().String() + "/"
}

// trouble is a fleet in which everything is wrong that can be.
func trouble() app.Status {
	now := time.Now().UTC().Truncate(time.Second)
	return app.Status{
		Time: now,
		Role: "run",
		Parts: []health.Status{
			{Part: "nats", State: health.OK, Since: now},
			{Part: "folder", Of: "mail", State: health.Failed, Since: now.Add(-time.Hour), Reason: "the folder is gone", Remedy: "mount it again"},
			{Part: "folder_files", Of: "proxy", State: health.OK, Since: now, Note: "files in trouble: 1, for longest \"a\": cannot be opened"},
			{Part: "wildfire", State: health.Degraded, Since: now.Add(-time.Minute), Cause: health.CauseTCP, Reason: "WildFire cannot be reached: connection refused", Remedy: "check the network"},
		},
		Status: &queue.Status{
			Time:   now,
			Paused: map[pipeline.Budget]fleet.Pause{pipeline.Uploads: {Until: now.Add(9 * time.Minute), Reason: "the credential is refused <b>(401)</b>"}},
			Lanes: map[pipeline.Priority]queue.LaneStatus{
				pipeline.Urgent: {Waiting: 12, InHand: 8, Oldest: now.Add(-95 * time.Minute)}, pipeline.Normal: {Waiting: 48211, Oldest: now.Add(-50 * time.Hour)},
			},
			Uploads: fleet.BudgetStatus{Used: 150, Limit: 150, ResetsAt: now.Add(5 * time.Hour), Spent: true},
			Queries: fleet.BudgetStatus{Used: 900, Limit: 1050, ResetsAt: now.Add(5 * time.Hour), LastsUntil: now.Add(time.Hour)},
			Members: []fleet.Member{
				{ID: "w1", Role: "watcher", Host: "mx1", PID: 7, Version: "1.2.3", Config: "0badcafe", Started: now.Add(-time.Hour), Gone: true, Seen: now.Add(-5 * time.Minute)},
				{ID: "a1", Role: "api", Host: "mx2", PID: 8, Version: "1.2.3", Config: "0badcafe", Started: now.Add(-time.Hour), State: health.Degraded,
					Unwell: []health.Status{{Part: "queue", State: health.Degraded, Since: now, Reason: "nearly full"}}},
			},
			Queued:  queue.WaitStatus{Jobs: 48223, Oldest: now.Add(-50 * time.Hour)},
			Pending: queue.WaitStatus{Jobs: 1, Oldest: now.Add(-3 * time.Minute)},
			Parked:  queue.WaitStatus{Jobs: 61, Oldest: now.Add(-time.Hour), Reason: "today's uploads are used up", Until: now.Add(5 * time.Hour)},
			Dead:    map[string]uint64{"attempts_exhausted": 7, "unsupported_type": 2311},
		},
		Flights: []worker.Upload{{Job: "j", Filename: strings.Repeat("a-very-long-name-without-a-break", 6) + ".iso", Sent: 34_500_000, Total: 98_000_000, Since: now.Add(-20 * time.Second)}},
		Token: &auth.Status{
			Name: "wildfire", Kind: auth.KindWildFire, State: "rejected", Shared: true, LastError: "wildfire: invalid_client (401)",
			Obtained: now.Add(-time.Hour), Expires: now.Add(-45 * time.Minute),
		},
		Watch: []watch.Status{
			{Path: "/srv/mail/quarantine/incoming/attachments", Source: "mail", State: watch.StateDegraded, Reason: "the folder is gone; mount it again", Pending: 3, InFlight: 1000, Finished: 123456},
			{Path: "/srv/proxy", Source: "proxy", State: watch.StateOK, Mode: "poll", Held: "max_in_flight is reached"},
		},
	}
}

// listed is a stream of made-up events that then stays open.
func listed(n int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			outcome := []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}[i%6]
			fmt.Fprintf(w, "data: {\"id\":\"%d\",\"time\":%q,\"event\":\"verdict\",\"outcome\":%q,\"filename\":\"Angebot Nr. %d für Frau Müller.docx\",\"sha256\":%q,\"size\":12345,\"source\":\"mail\",\"job\":\"j%d\"}\n\n",
				i, time.Now().Add(-time.Duration(n-i)*time.Minute).Format(time.RFC3339), outcome, i, strings.Repeat("0f", 32), i)
		}
		fmt.Fprint(w, "event: live\ndata: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
}

func TestPageInTrouble(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	do(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return trouble(), nil }, listed(60))))
	until(t, ctx, `!document.querySelector("#attention").hidden && document.querySelector("#stream").dataset.state === "live"`)
	problems := text(t, ctx, "#problems")
	for _, want := range []string{"Uploads are paused until ", ": the credential is refused <b>(401)</b>", "No worker is running",
		"folder mail has failed since ", ": the folder is gone; mount it again", "wildfire is degraded since ", "folder_files proxy: files in trouble: 1",
		"The watcher on mx1 is gone, heard of last 5 min ago", "The api on mx2 is degraded: queue: nearly full"} {
		if !strings.Contains(problems, want) {
			t.Errorf("the problems are\n%s\nwithout %q", problems, want)
		}
	}
	if title := value[string](t, ctx, "document.title"); title != "(7) Backburn" {
		t.Errorf("the title is %q", title)
	}
	for selector, want := range map[string]string{
		"#lanes":          "normal\t48,211\t0\t2 d 2 h",
		"#budget-uploads": "paused until",
		"#budget-queries": "at this pace used up at",
		"#dead-h":         "Dead letters: 2,318",
		"#dead":           "attempts_exhausted\t7\tneeds a look",
		"#uploading":      "34.5 MB of 98.0 MB",
		"#token":          "has expired",
		"#watch":          "max_in_flight is reached",
		"#jobs":           "\t61\t1 h 0 min",
		"#members":        "gone",
		"#parts":          "connection refused",
	} {
		if got := text(t, ctx, selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, not %q", selector, got, want)
		}
	}
	if n := value[int](t, ctx, `document.querySelectorAll("#events li").length`); n != 50 {
		t.Errorf("the list holds %d", n)
	}
	shots(t, ctx, "trouble")
}

// Everything that can be pressed is reached with the keyboard alone, and says what it is.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	do(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return trouble(), nil }, listed(2))))
	until(t, ctx, `document.querySelectorAll("#events li").length === 2`)
	var reached []string
	for range 4 {
		do(t, ctx, chromedp.KeyEvent("\t"))
		reached = append(reached, value[string](t, ctx, `(e => (e.labels?.[0] ?? e).innerText.trim().split("\n")[0])(document.activeElement)`))
	}
	if want := []string{"Latest verdicts", "Hide benign", "malware", "benign"}; !slices.Equal(reached, want) {
		t.Errorf("Tab goes to %q, not %q", reached, want)
	}
	do(t, ctx, chromedp.KeyEvent("\r"))
	until(t, ctx, `document.querySelector("#events li:last-child details").open`)
	do(t, ctx, chromedp.EmulateViewport(390, 844))
	shot(t, ctx, "open")
	unnamed := value[[]string](t, ctx, `[...document.querySelectorAll("section, table, [role=meter], progress, ol, input")].filter(e =>
		!(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.caption || e.labels?.length)).map(e => e.outerHTML)`)
	if len(unnamed) > 0 {
		t.Errorf("without a name: %q", unnamed)
	}
}

// A page that is opened while NATS is away shows the process's own parts, and says of the rest that it
// is not known. It says nothing untrue.
func TestPageOfAProcessWithoutNATS(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	events := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	st := trouble()
	st.Status = nil
	st.Away = &app.Away{Since: time.Now().Add(-time.Minute), Reason: "NATS is away (reconnecting)"}
	do(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return st, nil }, events)))
	until(t, ctx, `document.querySelector("#stream").dataset.state === "away" && !document.querySelector("#away").hidden`)
	if got := text(t, ctx, "#away"); !strings.Contains(got, "NATS is away since ") || !strings.Contains(got, "NATS is away (reconnecting)") {
		t.Errorf("it says %q", got)
	}
	page := value[string](t, ctx, "document.body.innerText")
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
	shots(t, ctx, "away")
}
