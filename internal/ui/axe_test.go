package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"backburn/internal/app"
	"backburn/internal/history"
	"backburn/internal/testkit/needs"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// axeScript returns the source of axe-core, which finds accessibility problems.
var axeScript = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "backburn-axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "axe"))); err != nil {
		return "", err
	}

	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm: %w\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))

	return string(text), err
})

// requireAxe returns axe-core, or skips the test.
func requireAxe(t *testing.T) string {
	t.Helper()
	text, err := axeScript()
	if err != nil {
		needs.CannotRun(t, "npm cannot fetch axe-core: %v", err)
	}

	return text
}

// findings returns axe's serious and critical findings on the current page.
const findings = `axe.run(document, { resultTypes: ["violations"] }).then(r => r.violations
  .filter(v => v.impact === "serious" || v.impact === "critical")
  .map(v => v.impact + ": " + v.id + ": " + v.help + ": " + v.nodes.map(n => n.target.join(" ") + " (" + n.failureSummary + ")").join("; ")))`

// emulateMedia sets media features of the browser, such as a user's preferences.
func emulateMedia(features ...string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		var params emulation.SetEmulatedMediaParams
		for i := 0; i < len(features); i += 2 {
			params.Features = append(params.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
		}
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, params)

		return err
	})
}

// healthyStatus is a fleet without problems.
func healthyStatus() app.Status {
	now := time.Now().UTC().Truncate(time.Second)
	st := app.NewStatus()
	st.Role = "run"
	st.Status = &queue.Status{
		Time:    now,
		Paused:  map[pipeline.Budget]fleet.Pause{},
		Lanes:   map[pipeline.Priority]queue.LaneStatus{},
		Dead:    map[string]uint64{},
		Members: []fleet.Member{{ID: "r", Role: "run", Host: "mx1", PID: 7, Version: "1.2.3", Config: "0badcafe", Started: now, State: "ok", Slots: 8, Leader: true}},
		Uploads: fleet.BudgetStatus{Used: 12, Limit: 150, ResetsAt: now.Add(5 * time.Hour)},
		Queries: fleet.BudgetStatus{Limit: 1050, ResetsAt: now.Add(5 * time.Hour)},
	}

	return st
}

// unusedActions has actions that are never called, for a page that only shows the buttons.
type unusedActions struct{ ui.Actions }

func alice(*http.Request) string { return "alice" }

// hostileNames are file names that try to imitate something else, run a script, or break the
// layout.
func hostileNames() []string {
	names := []string{
		hostile, `"><script>window.pwned=1</script>`, `javascript:window.pwned=1`, `' onmouseover='window.pwned=1`, "</title><svg onload=window.pwned=1>",
		"{{constructor.constructor('window.pwned=1')()}}", "${window.pwned=1}", "&lt;b&gt;&#60;i&#62;", "<!--", "]]>", "\x00null.exe", "two\nlines\r\n.exe",
		"tab\there.exe", "\x1b[31mred\x1b[0m.exe", "bad\xff\xfeutf8.exe", "\u202egnp.exe", "\u2066a\u2069\u2067b.exe", "\u200bzero\u200dwidth\ufeff.exe",
		"soft\u00adhyphen.exe", "e" + strings.Repeat("\u0301", 120) + ".exe", strings.Repeat("😀", 62) + ".exe", "👨‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿.pdf",
		strings.Repeat("文", 83) + ".exe", strings.Repeat("a", 251) + ".exe", strings.Repeat("a ", 125) + ".exe", strings.Repeat("W", 255),
		"العربية.exe", "\u0e01\u0e33" + strings.Repeat("\u0e4a", 60) + ".exe", " ", "..", "\U000E0001tag\U000E007F.exe", "﷽﷽﷽.exe",
	}
	for i, n := range names {
		names[i] = strings.ToValidUTF8(n[:min(len(n), 255)], "\ufffd")
	}

	return names
}

// historyOfNames returns a history of files with these names.
func historyOfNames(names []string) *fakeHistory {
	p := newFakeHistory()
	for i, n := range names {
		p.add(results.Event{Type: results.Verdict, Time: time.Now(), Data: results.Data{
			JobID: fmt.Sprint("j", i), Source: "mail", Filename: n, Path: "/srv/mail/" + n, SHA256: strings.Repeat("0f", 32), Size: 12345,
			Verdict: "malware", Basis: results.BasisUpload, ReceivedAt: time.Now().Add(-time.Minute), DecidedAt: time.Now(), Metadata: map[string]string{n: n},
		}})
	}
	p.trace.Timeline = []queue.TraceEntry{{Time: time.Now(), What: "dead", Job: "j1", Source: "mail", Name: hostile, Detail: "kept as dead letter 7", Seq: 7}}
	p.trace.Metadata = map[string]string{"From": hostile}

	return p
}

// The page is accessible in every state: the overview, the search and one file; with and without
// data; while NATS is unreachable; in light and dark mode, with custom colors, at 200 %, and on
// every screen size.
func TestPageIsForEverybody(t *testing.T) {
	t.Parallel()
	script := requireAxe(t)
	ctx := startBrowser(t)
	unread := newFakeHistory()
	unread.state = history.State{Error: "NATS is unreachable"}
	away := faultyStatus()
	away.Status = nil
	away.Away = &app.Away{Since: time.Now().Add(-time.Minute), Reason: "NATS is unreachable (reconnecting)"}
	names := hostileNames()
	for _, tc := range []struct {
		name  string
		state app.Status
		past  *fakeHistory
		at    string // fragment of the URL
		ready string
	}{
		{"empty", healthyStatus(), newFakeHistory(), "", `document.querySelector("#attention").dataset.level === "good" && !document.querySelector("#no-events").hidden`},
		{"glance", faultyStatus(), historyOf(60), "", `document.querySelectorAll("#events li").length === 50 && !document.querySelector("#day-known").hidden`},
		{"find", faultyStatus(), historyOf(60), "#q=Angebot&outcome=malicious&since=24h", `document.querySelectorAll("#events li").length > 10 && !document.querySelector("#clear").hidden`},
		{"nothing", healthyStatus(), historyOf(60), "#q=nothing", `document.querySelector("#no-events").innerText === "Nothing matches."`},
		{"file", healthyStatus(), historyOfNames(names), "#job=mail/j1", `document.querySelectorAll("#steps li").length > 1 && document.querySelectorAll("#acts button").length === 2`},
		{"names", healthyStatus(), historyOfNames(names), "", fmt.Sprintf(`document.querySelectorAll("#events li").length === %d && [" marks⟩", "␣", "⟨U+202E⟩"].every(s => document.querySelector("#events").innerText.includes(s))`, len(names))},
		{"away", away, unread, "", `!document.querySelector("#away").hidden`},
	} {
		url := serve(t, func() (app.Status, error) { return tc.state, nil }, tc.past)
		runActions(t, ctx, chromedp.EmulateViewport(1280, 1000), chromedp.Navigate("about:blank"), chromedp.Navigate(url+tc.at))
		waitUntil(t, ctx, tc.ready)
		waitUntil(t, ctx, `document.querySelector("#who").innerText === "logged in as alice"`)
		runActions(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => { d.open = true })`))
		checkPage(t, ctx, tc.name, script)
		if evaluate[bool](t, ctx, `"pwned" in window || document.querySelector("#events img, #events b, #events script, #file img, #file script") !== null`) {
			t.Errorf("%s: a name became markup", tc.name)
		}
		if shown := evaluate[string](t, ctx, "document.body.innerText"); strings.ContainsAny(shown, "\u202e\u2066\u2067\u200b\ufeff\x1b\x00") {
			t.Errorf("%s: characters that cannot be seen are on the page", tc.name)
		}
	}

	runActions(t, ctx, chromedp.EmulateViewport(1280, 1000), chromedp.Navigate("about:blank"), chromedp.Navigate(serve(t, func() (app.Status, error) { return healthyStatus(), nil }, newFakeHistory())))
	waitUntil(t, ctx, `!document.querySelector("#pause").hidden`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#pause")))
	checkPage(t, ctx, "act", script)
}

// checkPage checks the current page with different media features.
func checkPage(t *testing.T, ctx context.Context, what, script string) {
	t.Helper()
	runActions(t, ctx, chromedp.Evaluate[chromedp.Void]("void (() => {"+script+"})()"))
	for name, look := range map[string]struct {
		media         []string
		width, height int64
		scale         float64
		axe           bool // whether axe runs, since its findings depend only on media and layout
	}{
		"desktop-light": {[]string{"prefers-color-scheme", "light"}, 1280, 1000, 1, true},
		"desktop-dark":  {[]string{"prefers-color-scheme", "dark"}, 1280, 1000, 1, false},
		"tablet-light":  {[]string{"prefers-color-scheme", "light"}, 820, 1180, 1, false},
		"phone-dark":    {[]string{"prefers-color-scheme", "dark"}, 390, 844, 1, true},
		"phone-small":   {[]string{"prefers-color-scheme", "light"}, 320, 568, 1, false},
		"zoom-200":      {[]string{"prefers-color-scheme", "light"}, 640, 500, 2, false},
		"contrast":      {[]string{"prefers-contrast", "more", "prefers-color-scheme", "dark"}, 1280, 1000, 1, false},
		"forced-colors": {[]string{"forced-colors", "active", "prefers-color-scheme", "dark"}, 1280, 1000, 1, false},
	} {
		runActions(t, ctx, emulateMedia(look.media...), chromedp.EmulateViewport(look.width, look.height, chromedp.EmulateScale(look.scale)))
		if wide := evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); wide > look.width {
			t.Errorf("%s, %s: the page is %d wide in a window of %d", what, name, wide, look.width)
		}

		if !look.axe {
			screenshot(t, ctx, what+"-"+name)
			continue
		}

		found := result(t, ctx, chromedp.Evaluate[[]string](findings, chromedp.EvalAwaitPromise))
		for _, f := range found {
			t.Errorf("%s, %s: %s", what, name, f)
		}

		screenshot(t, ctx, what+"-"+name)
	}
}
