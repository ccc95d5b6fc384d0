package sink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/sink"
	"backburn/internal/sink/credential"
	"backburn/internal/sink/format"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/logbuf"
	"backburn/results"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// stream starts a NATS server with the stream of events.
func stream(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(testkit.StartNATS(t, &server.Options{}).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.*.*.*"}}); err != nil {
		t.Fatal(err)
	}
	return js
}

// event returns a malware verdict for a job.
func event(id string) results.Event {
	code, now := 1, time.Now().UTC()
	return results.Event{Type: results.Verdict, Time: now, Data: results.Data{
		JobID:       id,
		Source:      "mail",
		Filename:    "a.exe",
		Verdict:     "malware",
		VerdictCode: &code,
		Basis:       results.BasisLookup,
		DecidedAt:   now,
	}}
}

func publish(t *testing.T, js jetstream.JetStream, ids ...string) {
	t.Helper()
	for _, id := range ids {
		e := event(id)
		if _, err := js.Publish(t.Context(), e.Subject("backburn"), encoded(t, e)); err != nil {
			t.Fatal(err)
		}
	}
}

func encoded(t *testing.T, e results.Event) []byte {
	t.Helper()
	b, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message returns an event as a target gets it.
func message(t *testing.T, e results.Event) sink.Message {
	t.Helper()
	body := encoded(t, e)
	return sink.Message{
		ID:          "msg_1",
		Name:        "verdict",
		Time:        e.Time,
		Severity:    format.SeverityOf(e),
		Event:       body,
		Body:        body,
		ContentType: results.ContentType,
	}
}

// waitFor polls a condition, for at most a minute.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not true within a minute: %s", what)
		}
	}
}

// secretFile writes a file that others cannot read.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// webhookReceiver is a webhook receiver with configurable answers.
type webhookReceiver struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	always   int              // the answer to every request, unless it is 0
	answers  map[string][]int // by job; the last one is repeated
	accepted []string         // jobs of accepted events
	tries    map[string]int   // attempts by job
}

func newWebhookReceiver(t *testing.T, answers map[string][]int) *webhookReceiver {
	h := &webhookReceiver{t: t, answers: answers, tries: map[string]int{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *webhookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var e results.Event
	if err := e.UnmarshalJSON(body); err != nil {
		h.t.Errorf("%s: %v", body, err)
	}
	if r.URL.Path != "/" {
		h.t.Errorf("a redirect was followed to %s", r.URL.Path)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id, status := e.Data.JobID, 200
	if list := h.answers[id]; len(list) > 0 {
		if status = list[0]; len(list) > 1 {
			h.answers[id] = list[1:]
		}
	}
	if h.always != 0 {
		status = h.always
	}
	h.tries[id]++
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(status)
	if status == 200 {
		h.accepted = append(h.accepted, id)
	}
}

func (h *webhookReceiver) answerAll(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.always = status
}

func (h *webhookReceiver) acceptedJobs() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.accepted, " ")
}

func (h *webhookReceiver) attempts(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tries[id]
}

func (h *webhookReceiver) target() *sink.Webhook {
	h.t.Helper()
	w, err := sink.NewWebhook(sink.Config{URL: h.URL + "/", SecretFile: secretFile(h.t, key+"\n"), UserAgent: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// shortDelays returns a configuration with short delays.
func shortDelays(t *testing.T) sink.Config {
	return sink.Config{
		Name:        "test",
		Kind:        sink.KindWebhook,
		Format:      format.CloudEvents,
		Prefix:      "backburn",
		Version:     "1.2.3",
		DeadFile:    filepath.Join(t.TempDir(), "dead.jsonl"),
		MaxAttempts: 3,
		Timeout:     10 * time.Second,
		RetryMin:    time.Millisecond,
		RetryMax:    5 * time.Millisecond,
		Pause:       5 * time.Millisecond,
		WarnEvery:   time.Hour,
	}
}

// runningSink is a running sink and its log.
type runningSink struct {
	*sink.Sink
	stop func()
	reg  *prometheus.Registry
	logs *logs
}

// logs collects log lines.
type logs struct{ logbuf.Buffer }

func (l *logs) count(text string) int {
	return strings.Count(l.String(), text)
}

// start runs a sink until the test ends, and waits until its consumer exists.
func start(t *testing.T, js jetstream.JetStream, cfg sink.Config, target sink.Target) *runningSink {
	t.Helper()
	r := launch(t, js, cfg, target)
	waitFor(t, "the sink's consumer exists", func() bool {
		_, err := js.Consumer(t.Context(), "BACKBURN_RESULTS", "sink-"+cfg.Name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
		return err == nil
	})

	return r
}

// launch runs a sink until the test ends.
func launch(t *testing.T, js jetstream.JetStream, cfg sink.Config, target sink.Target) *runningSink {
	t.Helper()
	r := &runningSink{reg: prometheus.NewRegistry(), logs: &logs{}}
	s, err := sink.New(js, cfg, target, zerolog.New(r.logs), r.reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterMetrics(); err != nil {
		t.Fatal(err)
	}
	r.Sink = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)

	return r
}

// count returns the value of a metric with a label.
func (r *runningSink) count(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			if label == "" {
				return m.GetGauge().GetValue()
			}
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

// deadLetters returns the contents of a dead-letter file as "job: attempts error", sorted.
func deadLetters(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	list := []string{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var l struct {
			Error    string        `json:"error"`
			Attempts int           `json:"attempts"`
			Event    results.Event `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s: %d %s", l.Event.Data.JobID, l.Attempts, l.Error))
	}
	slices.Sort(list)
	return list
}

func TestAnswersDecideWhetherAnEventIsRetried(t *testing.T) {
	t.Parallel()
	js := stream(t)
	publish(t, js, "before") // a new sink starts with new events
	h := newWebhookReceiver(t, map[string][]int{
		"slow": {503, 429, 408, 425, 502, 504, 200}, "ill": {400}, "large": {413}, "odd": {422}, "twice": {409}, "down": {500},
	})
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	publish(t, js, "one", "slow", "ill", "large", "odd", "twice", "down", "two")
	waitFor(t, "the last event is accepted", func() bool { return strings.HasSuffix(h.acceptedJobs(), "two") })
	if got := h.acceptedJobs(); got != "one slow two" {
		t.Errorf("accepted: %s", got)
	}
	waitFor(t, "the last event is counted", func() bool { return r.count(t, "backburn_sink_events_total", "sent") == 3 })
	r.stop()
	for id, want := range map[string]int{"one": 1, "slow": 7, "ill": 1, "large": 1, "odd": 1, "twice": 1, "down": 3, "before": 0} {
		if got := h.attempts(id); got != want {
			t.Errorf("%s was tried %d times, want %d", id, got, want)
		}
	}
	want := []string{
		"down: 3 the webhook answers 500", "ill: 1 the webhook answers 400", "large: 1 the webhook answers 413",
		"odd: 1 the webhook answers 422", "twice: 1 the webhook answers 409",
	}
	if got := deadLetters(t, cfg.DeadFile); !slices.Equal(got, want) {
		t.Errorf("dead letters %q, want %q", got, want)
	}
	for label, want := range map[string]float64{"sent": 3, "dead_lettered": 5, "skipped": 0} {
		if got := r.count(t, "backburn_sink_events_total", label); got != want {
			t.Errorf("%s: %v, want %v", label, got, want)
		}
	}
	for label, want := range map[string]float64{"unavailable": 6, "failing": 3, "misconfigured": 0, "refused": 4} {
		if got := r.count(t, "backburn_sink_failed_tries_total", label); got != want {
			t.Errorf("%s: %v, want %v", label, got, want)
		}
	}

	// Events that were published while the receiver was unavailable are delivered when it is back.
	publish(t, js, "three")
	start(t, js, cfg, h.target())
	waitFor(t, "the event published meanwhile is delivered", func() bool { return h.acceptedJobs() == "one slow two three" })
}

// If the receiver rejects every event, the receiver or the sink is misconfigured. No event is
// dead-lettered. The fault has its own metric, is logged once, appears in the status, and ends when
// it is corrected.
func TestSinkPausesForAMisconfiguredReceiver(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 307, 401, 403, 404, 405, 410, 415} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			js := stream(t)
			h := newWebhookReceiver(t, nil)
			h.answerAll(status)
			cfg := shortDelays(t)
			r := start(t, js, cfg, h.target())
			publish(t, js, "one", "two", "three")
			waitFor(t, "it was tried several times", func() bool { return h.attempts("one") >= 5 })
			waitFor(t, "the status shows the fault", func() bool { return r.Status().Attempts >= 5 && r.Status().Behind == 3 })
			s := r.Status()
			if s.State != sink.StatePaused || !strings.Contains(s.Cause, fmt.Sprint(status)) || s.Remedy == "" || s.Event == "" {
				t.Errorf("status %+v", s)
			}
			if h.attempts("two") > 0 || len(deadLetters(t, cfg.DeadFile)) > 0 {
				t.Errorf("the next event was tried %d times; dead letters %q", h.attempts("two"), deadLetters(t, cfg.DeadFile))
			}
			if n := r.count(t, "backburn_sink_failed_tries_total", "misconfigured"); n < 5 {
				t.Errorf("counted %v", n)
			}
			if n := r.count(t, "backburn_sink_paused", ""); n != 1 {
				t.Errorf("paused: %v", n)
			}
			if n := r.logs.count(`"level":"warn"`); n != 1 {
				t.Errorf("%d warnings", n)
			}

			h.answerAll(200)
			waitFor(t, "all events are accepted", func() bool { return h.acceptedJobs() == "one two three" })
			waitFor(t, "the state is ok", func() bool { return r.Status().Behind == 0 && r.Status().State == sink.StateOK })
			if r.logs.count("events are delivered again") != 1 || r.count(t, "backburn_sink_paused", "") != 0 {
				t.Error("the end of the fault was not logged")
			}
		})
	}
}

// A receiver that is unavailable for longer than max_attempts loses no events.
func TestSinkWaitsForAReceiver(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, nil)
	h.answerAll(503)
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	publish(t, js, "one", "two")
	waitFor(t, "it was tried often", func() bool { return h.attempts("one") > 3*cfg.MaxAttempts })
	waitFor(t, "the status shows the fault", func() bool { return r.Status().State == sink.StateRetrying })
	h.answerAll(0)
	waitFor(t, "both events are accepted", func() bool { return h.acceptedJobs() == "one two" })
	if dead := deadLetters(t, cfg.DeadFile); len(dead) > 0 {
		t.Errorf("dead letters %q", dead)
	}
}

// A fault whose text differs with each connection is logged once, too.
func TestLastingFaultIsLoggedOnce(t *testing.T) {
	t.Parallel()
	js := stream(t)
	var attempts atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		attempts.Add(1)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
		_ = c.Close()
	}))
	defer srv.Close()
	w, err := sink.NewWebhook(sink.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	cfg := shortDelays(t)
	r := start(t, js, cfg, w)
	publish(t, js, "one")
	waitFor(t, "it was tried several times", func() bool { return attempts.Load() > 5 && r.Status().Attempts >= 5 })
	if n := r.logs.count(`"level":"warn"`); n != 1 {
		t.Errorf("%d warnings:\n%s", n, r.logs)
	}
	r.stop()
}

// If NATS does not answer while a sink starts, the sink waits; the process goes on.
func TestSinkWaitsForNATS(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, nil)
	var silent atomic.Bool
	silent.Store(true)
	r := launch(t, silentJetStream{js, &silent}, shortDelays(t), h.target())
	waitFor(t, "the sink waits", func() bool { return r.logs.count("NATS does not answer") > 0 })
	silent.Store(false)
	waitFor(t, "the consumer exists", func() bool {
		_, err := js.Consumer(t.Context(), "BACKBURN_RESULTS", "sink-test")
		return err == nil
	})
	publish(t, js, "one")
	waitFor(t, "the event is delivered", func() bool { return strings.HasSuffix(h.acceptedJobs(), "one") })
}

// silentJetStream does not answer requests for a consumer while silent is set.
type silentJetStream struct {
	jetstream.JetStream
	silent *atomic.Bool
}

func (s silentJetStream) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	if s.silent.Load() {
		return nil, nats.ErrNoResponders
	}
	return s.JetStream.Consumer(ctx, stream, name)
}

// Somebody removes the stream of events while a sink starts. The sink waits until it exists again.
func TestSinkWaitsForTheStream(t *testing.T) {
	t.Parallel()
	js := stream(t)
	is, err := js.Stream(t.Context(), "BACKBURN_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "BACKBURN_RESULTS"); err != nil {
		t.Fatal(err)
	}
	h := newWebhookReceiver(t, nil)
	r := launch(t, js, shortDelays(t), h.target())
	waitFor(t, "the missing stream is logged", func() bool { return r.logs.count("the stream of events is missing") > 0 })
	if _, err := js.CreateStream(t.Context(), is.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "one")
	waitFor(t, "the event is delivered", func() bool { return h.acceptedJobs() == "one" })
}

// An event that cannot be written to the dead-letter file stays in the stream.
func TestUnwrittenDeadLettersStayInTheStream(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, map[string][]int{"one": {422}})
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	if err := os.RemoveAll(filepath.Dir(cfg.DeadFile)); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "one", "two")
	waitFor(t, "the status shows the fault", func() bool { return strings.Contains(r.Status().Cause, "dead_file") })
	if h.acceptedJobs() != "" {
		t.Errorf("accepted: %s", h.acceptedJobs())
	}
	if err := os.MkdirAll(filepath.Dir(cfg.DeadFile), 0o700); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the next event is accepted", func() bool { return h.acceptedJobs() == "two" })
	if dead := deadLetters(t, cfg.DeadFile); len(dead) != 1 || !strings.HasPrefix(dead[0], "one: ") {
		t.Errorf("dead letters %q, want that of job one", dead)
	}
}

// An event that was rejected often enough, but could not be written to the dead-letter file, is not
// dead-lettered because the receiver is then unavailable.
func TestUnavailableReceiverAfterAFullDisk(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, nil)
	h.answerAll(500)
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	if err := os.RemoveAll(filepath.Dir(cfg.DeadFile)); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "one")
	waitFor(t, "the status shows the fault", func() bool { return strings.Contains(r.Status().Cause, "dead_file") })
	h.answerAll(503)
	waitFor(t, "the receiver is unavailable", func() bool { return strings.Contains(r.Status().Cause, "503") })
	if err := os.MkdirAll(filepath.Dir(cfg.DeadFile), 0o700); err != nil {
		t.Fatal(err)
	}
	attempts := h.attempts("one")
	waitFor(t, "it was tried again", func() bool { return h.attempts("one") > attempts+2 })
	h.answerAll(0)
	waitFor(t, "the event is accepted", func() bool { return h.acceptedJobs() == "one" || len(deadLetters(t, cfg.DeadFile)) > 0 })
	if dead := deadLetters(t, cfg.DeadFile); len(dead) > 0 {
		t.Errorf("dead letters %q", dead)
	}
}

// Skipped events are not pending.
func TestSkippedEventsAreNotPending(t *testing.T) {
	t.Parallel()
	js := stream(t)
	release := make(chan struct{})
	h := newWebhookReceiver(t, nil)
	target := h.target()
	cfg := shortDelays(t)
	r := start(t, js, cfg, blockedTarget{target, release})
	publish(t, js, "one")
	if _, err := js.Publish(t.Context(), "backburn.results.verdict.malware.mail", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "both are pending", func() bool {
		r.UpdateBehind(t.Context())
		return r.Status().Behind == 2
	})
	close(release)
	waitFor(t, "one is skipped", func() bool { return r.count(t, "backburn_sink_events_total", "skipped") == 1 })
	waitFor(t, "none is pending", func() bool { return r.Status().Behind == 0 })
}

// blockedTarget is a target that sends nothing before it is released.
type blockedTarget struct {
	sink.Target
	release chan struct{}
}

func (b blockedTarget) Send(ctx context.Context, m sink.Message) error {
	select {
	case <-b.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	return b.Target.Send(ctx, m)
}

// Events of a later version are delivered unchanged, unless the format cannot express them.
func TestEventsOfALaterVersionAreDelivered(t *testing.T) {
	t.Parallel()
	js := stream(t)
	dir := t.TempDir()
	for _, f := range []format.Name{format.CloudEvents, format.ECS} {
		cfg := shortDelays(t)
		cfg.Name, cfg.Format = string(f), f
		r := start(t, js, cfg, newFile(t, sink.Config{Path: filepath.Join(dir, string(f)), Mode: "0600"}))
		defer func() {
			if f == format.ECS && r.count(t, "backburn_sink_events_total", "skipped") != 2 {
				t.Error("not counted as skipped")
			}
		}()
	}
	for _, body := range []string{
		`{"specversion":"1.0","id":"a.report","source":"backburn/mail","type":"backburn.later.v1","time":"2026-11-21T09:00:00Z",
			"data":{"job_id":"a","source":"mail"}}`,
		`no event`,
		string(encoded(t, event("last"))),
	} {
		if _, err := js.Publish(t.Context(), "backburn.results.report.malware.mail", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(f format.Name) []string {
		b, _ := os.ReadFile(filepath.Join(dir, string(f)))
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	waitFor(t, "both files have the last event", func() bool {
		return strings.Contains(strings.Join(read(format.CloudEvents), ""), "last") && strings.Contains(strings.Join(read(format.ECS), ""), "last")
	})
	if lines := read(format.CloudEvents); len(lines) != 2 || !strings.HasPrefix(lines[0], `{"specversion":"1.0","id":"a.report",`) {
		t.Errorf("%q", lines)
	}
	if lines := read(format.ECS); len(lines) != 1 {
		t.Errorf("%q", lines)
	}
}

// A changed filter applies from where the sink stopped.
func TestChangedFilterApplies(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, nil)
	publishFrom := func(source string, ids ...string) {
		for _, id := range ids {
			e := event(id)
			e.Data.Source = source
			if _, err := js.Publish(t.Context(), e.Subject("backburn"), encoded(t, e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	accepted := func(want string) {
		t.Helper()
		waitFor(t, "accepted: "+want, func() bool { return h.acceptedJobs() == want })
	}

	cfg := shortDelays(t)
	cfg.Sources = []string{"mail"}
	first := start(t, js, cfg, h.target())
	publishFrom("proxy", "p1")
	publishFrom("mail", "m1")
	accepted("m1")
	first.stop()

	cfg.Sources = []string{"proxy", "web"}
	second := start(t, js, cfg, h.target())
	waitFor(t, "the consumer has the new filter", func() bool {
		c, err := js.Consumer(t.Context(), "BACKBURN_RESULTS", "sink-"+cfg.Name)
		return err == nil && len(c.CachedInfo().Config.FilterSubjects) == 2
	})
	publishFrom("mail", "m2")
	publishFrom("proxy", "p3")
	publishFrom("web", "w1")
	accepted("m1 p3 w1")
	second.stop()

	cfg.Sources = nil
	start(t, js, cfg, h.target())
	publishFrom("mail", "m3")
	accepted("m1 p3 w1 m3")
}

// Keys are read again for each attempt, and two keys sign each delivery.
func TestSigningKeysAreReadForEachAttempt(t *testing.T) {
	t.Parallel()
	var got []string
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get(credential.HeaderSignature))
	}))
	defer srv.Close()
	file := secretFile(t, key+"\n")
	w, err := sink.NewWebhook(sink.Config{URL: srv.URL, SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, keys := range []string{key, key + "\nwhsec_" + strings.Repeat("b", 32)} {
		if err := os.WriteFile(file, []byte(keys+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), message(t, event("a"))); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || len(strings.Fields(got[0])) != 1 || len(strings.Fields(got[1])) != 2 {
		t.Errorf("signatures %q", got)
	}
	// A missing key file is a fault of the configuration; nothing is delivered without a signature.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f, ok := errors.AsType[*sink.Fault](w.Send(t.Context(), message(t, event("a"))))
	if !ok || f.Kind != sink.Misconfigured || len(got) != 2 {
		t.Errorf("%+v, %d deliveries", f, len(got))
	}
}
