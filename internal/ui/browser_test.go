package ui_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"backburn/internal/testkit/needs"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// pageTimeout is how long a page may take to show what it should.
const pageTimeout = 30 * time.Second

// chromiumPath returns the path of the browser.
func chromiumPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	needs.CannotRun(t, "no Chromium in PATH: the page was not tested (Debian: apt-get install chromium)")

	return ""
}

// startBrowser starts a new browser, which is stopped at the end of the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromiumPath(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.DisableGPU, chromedp.WindowSize(1280, 1000),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium has no sandbox for root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser to end
		cancel()
	})
	check(t, chromedp.Do(ctx)) // it lives as long as the context of the first call

	return ctx
}

// runActions runs actions in the browser.
func runActions(t *testing.T, ctx context.Context, what ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	check(t, chromedp.Do(ctx, what...))
}

// result runs an action in the browser and returns its value.
func result[T any](t *testing.T, ctx context.Context, what chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	v, err := chromedp.Run(ctx, what)
	check(t, err)

	return v
}

// waitUntil waits until a JavaScript expression is true on the page. It polls with a promise,
// because the page's policy forbids to create functions from strings.
func waitUntil(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	ask := `new Promise(done => { const look = () => (` + expression + `) ? done(true) : setTimeout(look, 50); look(); })`
	tctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	if _, err := chromedp.Run(tctx, chromedp.Evaluate[bool](ask, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatalf("%s never came true: %v\n%s", expression, err, evaluate[string](t, ctx, "document.body.innerText"))
	}
}

// evaluate returns the value of an expression on the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	return result(t, ctx, chromedp.Evaluate[T](expression))
}

// text returns the visible text of an element.
func text(t *testing.T, ctx context.Context, selector string) string {
	t.Helper()
	return evaluate[string](t, ctx, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// hostile is a file name that would run a script if the page wrote it as markup, and that looks
// like the name of a PDF.
const hostile = "<img src=x onerror=\"window.pwned=1\"><b>invoice\u202Efdp.exe"

func TestPageShowsWhatHappens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slow := s.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Name: "slow", Fault: wildfiretest.Fault{Latency: time.Minute}})
	defer slow()
	_, url, _ := s.start()
	ctx := startBrowser(t)
	violations := watchConsole(t, ctx)
	runActions(t, ctx, chromedp.Navigate(url))

	waitUntil(t, ctx, `document.querySelector("#connection").dataset.state === "live" && document.querySelector("#stream").dataset.state === "live"`)
	waitUntil(t, ctx, `document.querySelector("#members").innerText.includes("leads")`)
	for selector, want := range map[string]string{
		"#jobs":           "Queued\nfor a worker\n\t0\t–",
		"#budget-uploads": "0 of 150 used",
		"#budget-queries": "of 1,050 used",
		"#watch":          "quarantine",
	} {
		if got := text(t, ctx, selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, not %q", selector, got, want)
		}
	}

	if got := text(t, ctx, "#attention"); got != "All is well. There is nothing to do." {
		t.Errorf("something needs attention: %s", text(t, ctx, "#attention"))
	}

	s.drop("malware.exe", "one")
	s.drop(hostile, "two")
	s.drop("notes.unsupported", "three")
	s.drop("slow.bin", strings.Repeat("four", 1000))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 3`)
	waitUntil(t, ctx, `document.querySelector("#uploading").innerText.includes("slow.bin")`)
	waitUntil(t, ctx, `document.querySelector("#dead").innerText.includes("unsupported_type\t1")`)
	waitUntil(t, ctx, `document.querySelector("#token").innerText.includes("fresh")`)
	waitUntil(t, ctx, `/^[1-9]/.test(document.querySelector("#budget-uploads .used").innerText)`)
	events := text(t, ctx, "#events")
	for _, want := range []string{"malware\nmalware.exe", "failed\nnotes.unsupported\nunsupported type, from quarantine", "benign\n" + strings.ReplaceAll(hostile, "\u202E", "⟨U+202E⟩")} {
		if !strings.Contains(events, want) {
			t.Errorf("the verdicts show\n%s\nwithout %q", events, want)
		}
	}

	if page := evaluate[string](t, ctx, "document.documentElement.outerHTML"); strings.Contains(page, "that must not show") {
		t.Error("the secret is on the page")
	}
	if evaluate[bool](t, ctx, `"pwned" in window || document.querySelector("#events img, #events b") !== null`) {
		t.Error("the name of a file became markup")
	}

	waitUntil(t, ctx, `document.querySelector("#tiles").innerText.startsWith("1\nmalicious")`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#tiles a")))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1 && location.hash === "#outcome=malicious"`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#events a")))
	waitUntil(t, ctx, `document.querySelector("#steps").innerText.includes("Verdict\nmalware, by upload")`)
	waitUntil(t, ctx, `/Uploaded\nWildFire accepted the upload/.test(document.querySelector("#steps").innerText)`)
	waitUntil(t, ctx, `document.querySelector("#commands").innerText.includes("backburn trace quarantine/")`)
	screenshots(t, ctx, "file")
	// The URL contains the search and the open file: another window shows the same.
	link := evaluate[string](t, ctx, "location.href")
	runActions(t, ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(link))
	waitUntil(t, ctx, `document.querySelector("#file").open && document.querySelector("#file-h").innerText === "malware.exe" && document.querySelector("#outcome").value === "malicious"`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#close")), chromedp.Click(chromedp.CSS("#clear")))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 3 && location.hash === ""`)
	for _, v := range violations() {
		t.Errorf("errors in the console: %s", v)
	}

	screenshots(t, ctx, "normal")
}

func TestPageStaysRightInAStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.Pipeline.UploadsPerDay, s.cfg.Pipeline.QueriesPerDay = 0, 0
	_, url, _ := s.start()
	ctx := startBrowser(t)
	s.drop("before.bin", "before")
	runActions(t, ctx, chromedp.Navigate(url))
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "live" && document.querySelectorAll("#events li").length === 1`)
	// The list does not move while the user is at a file, and shows the number of new files.
	runActions(t, ctx, chromedp.Focus(chromedp.CSS("#events a")))
	waitUntil(t, ctx, `document.querySelector("#chart svg") !== null`) // the chart is above the list
	const place = `[...document.querySelectorAll("#events li")].find(li => li.innerText.includes("before.bin")).getBoundingClientRect().top`
	before := evaluate[float64](t, ctx, place)
	const files = 80
	for i := range files {
		s.drop(fmt.Sprintf("file-%02d-malware.bin", i), fmt.Sprint("body ", i))
	}

	waitUntil(t, ctx, fmt.Sprintf(`document.querySelector("#newer").innerText === "%d new"`, files))
	if after := evaluate[float64](t, ctx, place); after != before {
		t.Errorf("the focused row moved from %.1f to %.1f", before, after)
	}
	if got := text(t, ctx, "#events"); !strings.Contains(got, "before.bin") || strings.Contains(got, "file-") {
		t.Errorf("the list moved away under a reader:\n%s", got)
	}

	runActions(t, ctx, chromedp.Click(chromedp.CSS("#newer")))
	names := evaluate[[]string](t, ctx, `[...document.querySelectorAll("#events .name")].map(e => e.innerText)`)
	if len(names) != files+1 || names[files] != "before.bin" {
		t.Errorf("the list has %d rows, the last is %s", len(names), names[len(names)-1])
	}

	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			t.Errorf("%s occurs twice", n)
		}

		seen[n] = true
	}

	waitUntil(t, ctx, `document.querySelector("#jobs").innerText.includes("Queued\nfor a worker\n\t0\t–")`)
}

func TestPageSaysWhenTheProcessIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n, url, stop := s.start()
	ctx := startBrowser(t)
	s.drop("first.bin", "first")
	runActions(t, ctx, chromedp.Navigate(url))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1`)
	s.cfg.HTTP.Listen = n.HTTPAddr()
	stop()
	waitUntil(t, ctx, `document.querySelector("#connection").innerText.startsWith("The process does not answer. The page shows the state of ")`)
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "away" && document.body.dataset.stale === "true"`)
	screenshot(t, ctx, "away")

	s.drop("second-malware.bin", "second")
	s.start()
	waitUntil(t, ctx, `document.querySelector("#connection").innerText.includes("back, and up to date") && document.body.dataset.stale === "false"`)
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "live" && document.querySelectorAll("#events li").length === 2`)
}

// screenshot saves two screenshots in BACKBURN_SCREENSHOTS, if set: of the whole page, and of the
// visible part.
func screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("BACKBURN_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := result(t, ctx, chromedp.FullScreenshot(100))
	check(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
	png = result(t, ctx, chromedp.CaptureScreenshot())
	check(t, os.WriteFile(filepath.Join(dir, name+"-seen.png"), png, 0o600))
}
