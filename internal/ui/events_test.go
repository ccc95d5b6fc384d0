package ui_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/testkit"
	"backburn/internal/ui"
	"backburn/results"
)

// events has the stream of the events, and nothing else.
type events struct {
	t  *testing.T
	js jetstream.JetStream
}

func (q events) JetStream() jetstream.JetStream { return q.js }
func (q events) Prefix() string                 { return "backburn" }
func (q events) ResultsStream() string          { return "BACKBURN_RESULTS" }

func newQueue(t *testing.T) events {
	t.Helper()
	nc, err := nats.Connect(testkit.StartNATS(t, &server.Options{}).ClientURL())
	check(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	check(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.>"}})
	check(t, err)
	return events{t, js}
}

// publish publishes the verdict of a job, and before it that it was submitted.
func (q events) publish(job string, change ...func(*results.Data)) {
	q.t.Helper()
	d := results.Data{JobID: job, Source: "mail", Filename: job + ".exe", Verdict: "malware"}
	for _, c := range change {
		c(&d)
	}
	for _, typ := range []results.Type{results.Submitted, results.Verdict} {
		ev := results.Event{Type: typ, Time: time.Now(), Data: d}
		body, err := ev.MarshalJSON()
		check(q.t, err)
		_, err = q.js.Publish(q.t.Context(), ev.Subject("backburn"), body)
		check(q.t, err)
	}
}

// client reads a stream of events.
type client struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Scanner
	leave func()
}

func listen(t *testing.T, url string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	check(t, err)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	check(t, err)
	t.Cleanup(func() { res.Body.Close() })
	return &client{t: t, res: res, lines: bufio.NewScanner(res.Body), leave: cancel}
}

// next is the next event: its type and what is in it.
func (c *client) next() (event string, data map[string]any) {
	c.t.Helper()
	for c.lines.Scan() {
		switch name, value, _ := strings.Cut(c.lines.Text(), ": "); name {
		case "event":
			event = value
		case "data":
			check(c.t, json.Unmarshal([]byte(value), &data))
			return event, data
		}
	}
	c.t.Fatalf("the stream ended: %v", c.lines.Err())
	return "", nil
}

func TestEventsOldAndNew(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	for i := range 70 {
		q.publish(fmt.Sprint("old-", i))
	}
	web := httptest.NewServer(ui.NewEvents(q, 0, zerolog.Nop()))
	t.Cleanup(web.Close)
	c := listen(t, web.URL)
	t.Cleanup(c.leave)
	if got := c.res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	for i := 20; i < 70; i++ {
		if _, data := c.next(); data["job"] != fmt.Sprint("old-", i) {
			t.Fatalf("got %v, want old-%d", data["job"], i)
		}
	}
	if event, _ := c.next(); event != "live" {
		t.Fatalf("after the old ones came %q", event)
	}
	for i := range 5 {
		q.publish(fmt.Sprint("new-", i))
		if _, data := c.next(); data["job"] != fmt.Sprint("new-", i) || data["outcome"] != "malware" || data["id"] != fmt.Sprintf("new-%d.verdict", i) {
			t.Fatalf("got %v, want new-%d", data, i)
		}
	}
}

func TestEventsOfNothingYet(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	web := httptest.NewServer(ui.NewEvents(q, 0, zerolog.Nop()))
	t.Cleanup(web.Close)
	c := listen(t, web.URL)
	t.Cleanup(c.leave)
	if event, _ := c.next(); event != "live" {
		t.Fatalf("the first was %q", event)
	}
	res, err := http.Head(web.URL) // is answered, and takes no place
	check(t, err)
	res.Body.Close()
	q.publish("first")
	if _, data := c.next(); data["job"] != "first" {
		t.Errorf("got %v", data)
	}
}

// Names can't end the event that they are in, and metadata stays where it is.
func TestEventsAreOneLine(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	const name = "a\n\nevent: live\ndata: {}\r\r\u2028</script>.exe"
	q.publish("odd", func(d *results.Data) {
		d.Filename, d.Metadata = name, map[string]string{"client": "203.0.113.9"}
		d.ReceivedAt, d.DecidedAt = time.Unix(100, 0), time.Unix(107, 0)
	})
	web := httptest.NewServer(ui.NewEvents(q, 0, zerolog.Nop()))
	t.Cleanup(web.Close)
	c := listen(t, web.URL)
	t.Cleanup(c.leave)
	if event, data := c.next(); event != "" || data["filename"] != name || data["took"] != 7.0 {
		t.Errorf("got %q %v", event, data)
	}
	if strings.Contains(c.lines.Text(), "203.0.113.9") || strings.Contains(c.lines.Text(), "</script>") {
		t.Errorf("the line is %s", c.lines.Text())
	}
	if event, _ := c.next(); event != "live" {
		t.Errorf("after it came %q", event)
	}
}

func TestEventsForSoManyAndNoMore(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(ui.NewEvents(newQueue(t), 2, zerolog.Nop()))
	t.Cleanup(web.Close)
	first, second := listen(t, web.URL), listen(t, web.URL)
	first.next()
	second.next()
	if third := listen(t, web.URL); third.res.StatusCode != http.StatusServiceUnavailable || third.res.Header.Get("Retry-After") == "" {
		t.Errorf("the third got %s, %v", third.res.Status, third.res.Header)
	}
	first.leave()
	for { // until its place is free
		c := listen(t, web.URL)
		if c.res.StatusCode == http.StatusOK {
			c.leave()
			break
		}
	}
	second.leave()
}

func TestEventsWithoutAStream(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	check(t, q.js.DeleteStream(t.Context(), q.ResultsStream()))
	web := httptest.NewServer(ui.NewEvents(q, 0, zerolog.Nop()))
	t.Cleanup(web.Close)
	c := listen(t, web.URL)
	if c.res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s", c.res.Status)
	}
}

// stuck is a client that takes so many writes, and then none. It notes the deadlines.
type stuck struct {
	httptest.ResponseRecorder
	takes     int
	deadlines []bool // whether there was one at each write
	set       bool
}

func (s *stuck) SetWriteDeadline(t time.Time) error { s.set = !t.IsZero(); return nil }
func (s *stuck) FlushError() error                  { return nil }

func (s *stuck) Write(b []byte) (int, error) {
	s.deadlines = append(s.deadlines, s.set)
	if s.takes--; s.takes < 0 {
		return 0, errors.New("i/o timeout")
	}
	return len(b), nil
}

// A client that reads no more is sent away: every write has a deadline, and between
// writes there is none that could pass.
func TestEventsForAClientThatIsStuck(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	for i := range 5 {
		q.publish(fmt.Sprint(i))
	}
	w := &stuck{ResponseRecorder: *httptest.NewRecorder(), takes: 3}
	ui.NewEvents(q, 0, zerolog.Nop()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/events", nil))
	if len(w.deadlines) != 4 || w.set {
		t.Errorf("%d writes; a deadline afterwards: %v", len(w.deadlines), w.set)
	}
	for i, had := range w.deadlines {
		if !had {
			t.Errorf("write %d had no deadline", i)
		}
	}
}
