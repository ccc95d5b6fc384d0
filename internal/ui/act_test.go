package ui_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"

	"backburn/internal/app"
	"backburn/internal/testkit/logbuf"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

const alicesPassword = "the password of alice"

// withLogin gives the listener a user, alice.
func (s *site) withLogin() (file string) {
	s.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(alicesPassword), bcrypt.MinCost)
	check(s.t, err)
	file = filepath.Join(s.t.TempDir(), "web.yml")
	check(s.t, os.WriteFile(file, fmt.Appendf(nil, "basic_auth_users:\n  alice: %s\n", hash), 0o600))
	s.cfg.HTTP.WebConfigFile = file

	return file
}

// post makes an action request as alice, like the page.
func post(t *testing.T, url, action, body string, change func(*http.Request)) (status int, said map[string]string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"api/act/"+action, strings.NewReader(body))
	check(t, err)
	req.SetBasicAuth("alice", alicesPassword)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ui.ActionHeader, "1")
	req.Header.Set("Origin", strings.TrimSuffix(url, "/"))
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(req)
	}

	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	check(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)
	_ = json.Unmarshal(b, &said) // a refusal may be plain text

	return res.StatusCode, said
}

// waitForStatus polls the node's status until a condition holds.
func waitForStatus(t *testing.T, n *app.Node, what string, ok func(app.Status) bool) {
	t.Helper()
	for end := time.Now().Add(pageTimeout); ; time.Sleep(20 * time.Millisecond) {
		st := n.Status(t.Context())
		if st.Status != nil && ok(st) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s: %+v", what, st)
		}
	}
}

// Without a login, or from another site, no action is possible.
func TestStrangersCannotAct(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.withLogin()
	said := &logbuf.Buffer{}
	s.log = zerolog.New(said)
	n, url, _ := s.start()
	set := func(key, value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(key, value) } }
	for name, tc := range map[string]struct {
		action string
		change func(*http.Request)
		want   int
	}{
		"no login":               {"pause", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"wrong password":         {"pause", func(r *http.Request) { r.SetBasicAuth("alice", "guess") }, 401},
		"unknown user":           {"pause", func(r *http.Request) { r.SetBasicAuth("mallory", alicesPassword) }, 401},
		"GET":                    {"pause", func(r *http.Request) { r.Method = http.MethodGet }, 404},
		"PUT":                    {"pause", func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"another origin":         {"pause", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example"); r.Header.Del("Sec-Fetch-Site") }, 403},
		"origin null":            {"pause", func(r *http.Request) { r.Header.Set("Origin", "null"); r.Header.Del("Sec-Fetch-Site") }, 403},
		"another site":           {"pause", set("Sec-Fetch-Site", "cross-site"), 403},
		"a site beside it":       {"pause", set("Sec-Fetch-Site", "same-site"), 403},
		"typed":                  {"pause", set("Sec-Fetch-Site", "none"), 200},
		"another host":           {"pause", func(r *http.Request) { r.Host = "rebound.example" }, 421},
		"a form":                 {"pause", set("Content-Type", "application/x-www-form-urlencoded"), 415},
		"a form of text":         {"pause", set("Content-Type", "text/plain"), 415},
		"without the header":     {"pause", func(r *http.Request) { r.Header.Del(ui.ActionHeader) }, 415},
		"another action":         {"drop", nil, 404},
		"a path below":           {"pause/x", nil, 405},
		"the page as it is":      {"pause", nil, 200},
		"a client without marks": {"pause", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }, 200},
		"too much": {"pause", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"for":"4h","reason":"` + strings.Repeat("x", 70_000) + `"}`))
			r.ContentLength = -1
		}, 400},
		"no length of time":   {"pause", body(`{}`), 400},
		"for ever":            {"pause", body(`{"for":"8d"}`), 400},
		"a moment":            {"pause", body(`{"for":"1s"}`), 400},
		"a long reason":       {"pause", body(`{"for":"4h","reason":"` + strings.Repeat("x", 201) + `"}`), 400},
		"what nobody knows":   {"pause", body(`{"for":"4h","by":"bob"}`), 400},
		"no JSON":             {"pause", body(`for=4h`), 400},
		"two":                 {"pause", body(`{"for":"4h"}{"for":"4h"}`), 400},
		"no letter":           {"retry", body(`{}`), 400},
		"a letter that isn't": {"retry", body(`{"letter":99}`), 404},
		"a hash that is none": {"ask", body(`{"sha256":"../../etc/passwd"}`), 400},
		"a link that is none": {"ask", body(`{"url":"javascript:alert(1)"}`), 400},
		"a link too long":     {"ask", body(`{"url":"https://example.com/` + strings.Repeat("x", 8<<10) + `"}`), 400},
		"a hash and a link":   {"ask", body(`{"sha256":"` + strings.Repeat("0f", 32) + `","url":"https://example.com/"}`), 400},
	} {
		_, err := n.Queue().Control().Bucket().PutString(t.Context(), "pause.uploads", "{}")
		check(t, err)
		got, answer := post(t, url, tc.action, `{"for":"4h"}`, tc.change)
		if got != tc.want {
			t.Errorf("%s: %d %v, want %d", name, got, answer, tc.want)
		}

		e, err := n.Queue().Control().Bucket().Get(t.Context(), "pause.uploads")
		check(t, err)
		if paused := strings.Contains(string(e.Value()), "alice"); paused != (got == http.StatusOK) {
			t.Errorf("%s: uploads are paused: %v", name, paused)
		}
	}

	if !strings.Contains(said.String(), "refused a cross-site action on the dashboard") {
		t.Errorf("the refused action is not logged:\n%s", said)
	}

	// Without users there are no actions, whatever credentials a request has.
	check(t, os.WriteFile(file, nil, 0o600))
	if got, _ := post(t, url, "pause", `{"for":"4h"}`, nil); got != 404 {
		t.Errorf("without users: %d", got)
	}
	if who := currentUser(t, url+"api/me"); who != `{"user":""}` {
		t.Errorf("without users: %s", who)
	}
}

func body(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
	}
}

// currentUser returns the answer to a GET request by alice.
func currentUser(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	req.SetBasicAuth("alice", alicesPassword)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	check(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)

	return strings.TrimSpace(string(b))
}

// A logged-in user pauses and resumes uploads, asks WildFire again and retries a dead letter with
// the mouse. Each action is recorded with the user's name.
func TestUsersAct(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withLogin()
	said := &logbuf.Buffer{}
	s.log = zerolog.New(said)
	n, url, _ := s.start()
	ctx := startBrowser(t)
	violations := watchConsole(t, ctx)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	req.SetBasicAuth("alice", alicesPassword)
	runActions(t, ctx, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Authorization": req.Header.Get("Authorization")},
		})
		return err
	}), chromedp.Navigate(url))
	waitUntil(t, ctx, `document.querySelector("#who").innerText === "logged in as alice"`)

	// Pause: nothing is uploaded, and the page shows who paused.
	press := func(selector string) { runActions(t, ctx, chromedp.Click(chromedp.CSS(selector))) }
	waitUntil(t, ctx, `document.querySelector("#pause").innerText === "Pause uploads…" && !document.querySelector("#pause").hidden`)
	press("#pause")
	runActions(t, ctx, chromedp.SendKeys(chromedp.CSS("#act-reason"), hostile))
	screenshot(t, ctx, "act")
	press("#act-do")
	waitUntil(t, ctx, `document.querySelector("#act-said").innerText.startsWith("Uploads are paused until ")`)
	press("#act-close")
	waitUntil(t, ctx, `document.querySelector("#attention").innerText.startsWith("Uploads are paused by alice: <img") && document.querySelector("#pause").innerText === "Resume uploads…"`)
	s.drop("changed.exe", "MZ changed")
	s.drop("notes.unsupported", "who knows")
	waitForStatus(t, n, "both are parked", func(st app.Status) bool { return st.Parked.Jobs == 2 })
	if got := s.wildfire.Count(wildfire.OpSubmitFile); got != 0 {
		t.Errorf("%d uploads during the pause", got)
	}

	press("#pause")
	waitUntil(t, ctx, `document.querySelector("#act-what").innerText.includes("paused by alice")`)
	press("#act-do")
	waitUntil(t, ctx, `document.querySelector("#act-said").innerText === "Uploads continue."`)
	press("#act-close")
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 2`)

	// Ask again: WildFire has changed the verdict, and the change is published.
	sum := sha256.Sum256([]byte("MZ changed"))
	if !s.wildfire.SetVerdict("", hex.EncodeToString(sum[:]), wildfire.Malware) {
		t.Fatal("WildFire does not know it")
	}

	press(`#events li:not([data-level="warn"]) a`)
	waitUntil(t, ctx, `document.querySelector("#acts button")?.innerText === "Ask WildFire again…"`)
	press("#acts button")
	press("#act-do")
	waitUntil(t, ctx, `document.querySelector("#act-said").innerText === "WildFire says: malware."`)
	press("#act-close")
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("malware since ")`)

	// Retry: the job gets a new ID. The next file can be opened before the browser reports that the
	// last one is closed.
	runActions(t, ctx, chromedp.Evaluate[chromedp.Void](
		`document.querySelector("#close").click(); document.querySelector('#events li[data-level="warn"] a').click()`))
	waitUntil(t, ctx, `document.querySelector("#acts button")?.innerText === "Retry…"`)
	press("#acts button")
	press("#act-do")
	waitUntil(t, ctx, `/^Submitted again as job .*~1\.$/.test(document.querySelector("#act-said").innerText)`)
	press("#act-close")
	press("#close")
	// The list does not move while the user is at a file.
	waitUntil(t, ctx, `(document.activeElement.blur(), document.querySelectorAll("#events li[data-level=warn]").length === 2)`)
	waitForStatus(t, n, "one letter replaces the other", func(st app.Status) bool { return st.Dead["unsupported_type"] == 1 })
	for letter, err := range n.Queue().Dead().All(t.Context(), queue.DeadFilter{}) {
		check(t, err)
		if !strings.HasSuffix(letter.Job.ID, "~1") {
			t.Errorf("the letter of %s still exists", letter.Job.ID)
		}
	}

	// The verdict of a link is also requested again.
	const link = "https://example.com/login?a=1&b=<2>"
	s.wildfire.Know(wildfiretest.Known{URL: link, Verdict: wildfire.Benign})
	_, err = n.Queue().Publisher().Submit(t.Context(), pipeline.Job{
		ID:       "link",
		Source:   "proxy",
		Priority: pipeline.Normal,
		Version:  1,
		Kind:     pipeline.KindURL,
		URL:      link,
	}, queue.Input{})
	check(t, err)
	runActions(t, ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(url+"#source=proxy"))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1 && document.querySelector("#who").innerText !== ""`)
	s.wildfire.Know(wildfiretest.Known{URL: link, Verdict: wildfire.Phishing})
	press("#events a")
	waitUntil(t, ctx, `document.querySelector("#acts button")?.innerText === "Ask WildFire again…"`)
	waitUntil(t, ctx, `document.querySelector("#commands").innerText.includes("backburn recheck 'https://example.com/login?a=1&b=<2>'")`)
	press("#acts button")
	waitUntil(t, ctx, `document.querySelector("#act-what").innerText.includes("every job with this link")`)
	press("#act-do")
	waitUntil(t, ctx, `document.querySelector("#act-said").innerText === "WildFire says: phishing."`)
	press("#act-close")
	waitUntil(t, ctx, `document.querySelector("#file-state").innerText.startsWith("phishing since ")`)
	waitUntil(t, ctx, `document.querySelector("#steps").innerText.includes("Action of a user\nrecheck by alice (dashboard): WildFire says: phishing")`)
	screenshot(t, ctx, "acted")

	wantAudits(t, n, hex.EncodeToString(sum[:]), link)
	for _, want := range []string{
		`"component":"dashboard","audit":"pause","user":"alice","from":"127.0.0.1:`,
		`"for":"4h"`,
		`"audit":"resume","user":"alice"`,
		`"audit":"ask","user":"alice"`,
		`"sha256":"` + hex.EncodeToString(sum[:]) + `"`,
		`"audit":"retry","user":"alice"`,
		`"letter":1`,
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, said)
		}
	}

	if strings.Contains(said.String(), alicesPassword) || strings.Contains(said.String(), strings.TrimPrefix(req.Header.Get("Authorization"), "Basic ")) {
		t.Error("the password is in the log")
	}

	for _, v := range violations() {
		t.Errorf("errors in the console: %s", v)
	}
}

// wantAudits checks the audit events of alice's actions.
func wantAudits(t *testing.T, n *app.Node, sum, link string) {
	t.Helper()
	var got []results.Audit
	sub := results.NewSubscriber(n.Queue().JetStream(), results.SubscriberConfig{Filter: results.Filter{Types: []results.Type{results.Audited}}})
	err := sub.Drain(t.Context(), func(_ context.Context, e results.Event) error {
		a := *e.Data.Audit
		if age := time.Since(e.Time); age < 0 || age > time.Hour || a.By != "alice" || a.Via != results.AuditDashboard || a.From != "127.0.0.1" {
			t.Errorf("%s: %+v", e.Time, a)
		}
		if a.Status == results.AuditDone {
			got = append(got, a)
		}

		return nil
	})
	check(t, err)
	if len(got) != 5 {
		t.Fatalf("%d actions are over, want 5: %+v", len(got), got)
	}

	for i, want := range []results.Audit{
		{Action: results.AuditPause, Reason: strings.ReplaceAll(hostile, "\u202E", "")}, // no key types that
		{Action: results.AuditResume},
		{Action: results.AuditRecheck, SHA256: sum, Result: "WildFire says: malware"},
		{Action: results.AuditRetry, Letter: 1},
		{Action: results.AuditRecheck, URL: link, Result: "WildFire says: phishing"},
	} {
		a := got[i]
		if a.Action != want.Action || a.URL != want.URL || a.Letter != want.Letter || a.Reason != want.Reason ||
			want.SHA256 != "" && a.SHA256 != want.SHA256 || want.Result != "" && a.Result != want.Result {
			t.Errorf("action %d is %+v, want %+v", i, a, want)
		}
	}

	if until := got[0].Until; time.Until(until) < 3*time.Hour || time.Until(until) > 5*time.Hour {
		t.Errorf("the pause ends at %s", until)
	}
	if job := got[3].Job; !strings.HasPrefix(job, "quarantine/") || got[3].SHA256 == "" {
		t.Errorf("what was retried is %+v", got[3])
	}
}

// Without a login the page shows no buttons.
func TestNobodyActsWithoutALogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, url, _ := s.start()
	ctx := startBrowser(t)
	violations := watchConsole(t, ctx)
	s.drop("notes.unsupported", "who knows")
	runActions(t, ctx, chromedp.Navigate(url))
	waitUntil(t, ctx, `document.querySelectorAll("#events li").length === 1`)
	runActions(t, ctx, chromedp.Click(chromedp.CSS("#events a")))
	waitUntil(t, ctx, `document.querySelector("#commands").innerText.includes("backburn dead replay")`)
	if evaluate[bool](t, ctx, `document.querySelector("#pause").checkVisibility() || document.querySelector("#acts").checkVisibility() || document.querySelector("#who").checkVisibility()`) {
		t.Error("the page has a button")
	}

	for _, action := range []string{"pause", "resume", "retry", "ask"} {
		if got, _ := post(t, url, action, `{"for":"4h"}`, nil); got != 404 {
			t.Errorf("%s: %d", action, got)
		}
	}

	for _, v := range violations() {
		t.Errorf("errors in the console: %s", v)
	}
}
