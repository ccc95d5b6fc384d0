package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"backburn/internal/app"
	"backburn/results"
)

// throughProxy returns the URL of a proxy for a page. The proxy answers a request itself if answer
// returns true.
func throughProxy(t *testing.T, page string, answer func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	to, err := url.Parse(page)
	check(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)

	return s.URL + "/"
}

// The page says what is wrong with an answer that it cannot show, and no longer that all is well.
func TestPageWithOddAnswers(t *testing.T) {
	t.Parallel()
	var body atomic.Pointer[string] // the answer to /api/status; nil: the process's own
	page := throughProxy(t, serve(t, func() (app.Status, error) { return healthyStatus(), nil }, historyOf(1)), func(w http.ResponseWriter, r *http.Request) bool {
		text := body.Load()
		if text == nil || r.URL.Path != "/api/status" {
			return false
		}
		_, _ = w.Write([]byte(*text))

		return true
	})
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(page))
	for text, want := range map[string]string{
		"<html>Log in": "There is no usable answer (HTTP status 200). Reload the page. The page shows the state of ",
		`{"lanes":{}}`: "This page cannot show the answer: reload it.",
	} {
		body.Store(nil)
		waitUntil(t, ctx, `document.querySelector("#health").innerText === "All is well. There is nothing to do."`)
		body.Store(&text)
		waitUntil(t, ctx, `document.querySelector("#connection").innerText.startsWith("`+want+`")`)
		if got := evaluate[string](t, ctx, `document.querySelector("#health").innerText`); got != "All was well. The present state is unknown." {
			t.Errorf("the page says %q", got)
		}
	}
}

// A search that is never answered does not stop the page.
func TestPageSurvivesASearchWithoutAnswer(t *testing.T) {
	t.Parallel()
	var searches atomic.Int32
	page := throughProxy(t, serve(t, func() (app.Status, error) { return healthyStatus(), nil }, historyOf(1)), func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/search" || searches.Add(1) > 1 {
			return false
		}
		<-r.Context().Done()

		return true
	})
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(page))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1`)
}

// A page that was hidden for an hour does not say that it is up to date before it has asked again.
// An open file of which the process said nothing is shown once the process answers.
func TestPageAfterAPause(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	page := throughProxy(t, serve(t, func() (app.Status, error) { return healthyStatus(), nil }, historyOf(1)), func(w http.ResponseWriter, _ *http.Request) bool {
		if silent.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}

		return silent.Load()
	})
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(page+"#since=constructor"))
	waitUntil(t, ctx, `document.querySelector("#connection").innerText === "up to date" && document.querySelectorAll("#events li").length === 1`)
	evaluate[bool](t, ctx, `(() => {
		window.said = [];
		const e = document.querySelector("#connection");
		new MutationObserver(() => window.said.push(e.innerText)).observe(e, { childList: true });
		const real = Date.now;
		Date.now = () => real() + 3600 * performance.now(); // an hour in each second
		return true;
	})()`)
	waitUntil(t, ctx, `window.said.join().includes("asking…,up to date")`)

	silent.Store(true)
	waitUntil(t, ctx, `document.querySelector("#connection").innerText.startsWith("There is no usable answer (HTTP status 502).")`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#events a")))
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("There is no usable answer")`)
	silent.Store(false)
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("benign since ")`)
}

// After midnight, the times of yesterday's files have a date, and files that have become too old
// for the search leave the list.
func TestPageOverMidnight(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	ahead.Store(int64(-time.Minute)) // the time of the file
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) {
		st := healthyStatus()
		st.Time = st.Time.Add(time.Duration(ahead.Load()))

		return st, nil
	}, historyOf(1))))
	waitUntil(t, ctx, `/^\d\d:\d\d:\d\d$/.test(document.querySelector("#events time")?.innerText)`)
	ahead.Store(int64(24 * time.Hour))
	waitUntil(t, ctx, `/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(document.querySelector("#events time")?.innerText)`)

	ahead.Store(0)
	runActions(t, ctx, chromedp.SetValue(chromedp.CSS("#since"), "1h"))
	evaluate[bool](t, ctx, `document.querySelector("#since").dispatchEvent(new Event("change"))`)
	waitUntil(t, ctx, `location.hash === "#since=1h" && document.querySelector("#matches").innerText === "1 file matches"`)
	ahead.Store(int64(2 * time.Hour))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 0 && document.querySelector("#matches").innerText === "0 files match"`)
}

// Names may consist of characters that nobody can see.
func TestPageShowsInvisibleCharacters(t *testing.T) {
	t.Parallel()
	past := newFakeHistory()
	past.add(results.Event{Type: results.Verdict, Time: time.Now(), Data: results.Data{
		JobID:    "j",
		Source:   "mail",
		Filename: "a\u3164\u2800\ufe0f\u00adb\u3000",
		Verdict:  "benign",
	}})
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return healthyStatus(), nil }, past)))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1`)
	if got := text(t, ctx, "#events"); !strings.Contains(got, "a⟨U+3164⟩⟨U+2800⟩⟨U+FE0F⟩⟨U+00AD⟩b␣") {
		t.Errorf("the page shows %q", got)
	}
}

// A second click while older files are requested adds nothing twice.
func TestPageShowsOlderFilesOnce(t *testing.T) {
	t.Parallel()
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return healthyStatus(), nil }, historyOf(120))))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 50 && document.querySelector("#older").checkVisibility()`)
	evaluate[bool](t, ctx, `(() => { const older = document.querySelector("#older"); older.click(); older.click(); return true; })()`)
	waitUntil(t, ctx, `performance.getEntriesByType("resource").filter(e => e.name.includes("before=") && e.responseEnd > 0).length === 2 &&
		document.querySelectorAll("#events li").length >= 100`)
	names := evaluate[[]string](t, ctx, `[...document.querySelectorAll("#events .name")].map(e => e.innerText)`)
	if len(names) != 100 || names[0] != "Angebot Nr. 119 für Frau Müller.docx" || names[99] != "Angebot Nr. 20 für Frau Müller.docx" {
		t.Errorf("%d files, %q to %q", len(names), names[0], names[len(names)-1])
	}
}
