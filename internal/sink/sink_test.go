package sink_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backburn/internal/sink"
	"backburn/internal/testkit"
	"backburn/results"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func event(id string) results.Event {
	code, now := 1, time.Now().UTC()
	return results.Event{Type: results.Verdict, Time: now, Data: results.Data{
		JobID: id, Source: "mail", Filename: "a.exe", Verdict: "malware", VerdictCode: &code, Basis: results.BasisLookup, DecidedAt: now,
	}}
}

func publish(t *testing.T, js jetstream.JetStream, ids ...string) {
	t.Helper()
	for _, id := range ids {
		e := event(id)
		b, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), e.Subject("backburn"), b); err != nil {
			t.Fatal(err)
		}
	}
}

// hook is a webhook's other side: it answers as it is told, and checks every signature.
type hook struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]int // by job; the last one stays
	taken   chan string
	tries   map[string]int
}

const secret = "a-key-of-a-signature"

func newHook(t *testing.T, answers map[string][]int) *hook {
	h := &hook{answers: answers, taken: make(chan string, 100), tries: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e results.Event
		if err := e.UnmarshalJSON(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if r.Header.Get(sink.HeaderSignature) != sink.Sign(secret, r.Header.Get(sink.HeaderTimestamp), body) || r.Header.Get("Content-Type") != results.ContentType {
			t.Errorf("headers %v", r.Header)
		}
		id := e.Data.JobID
		h.mu.Lock()
		status := 200
		if list := h.answers[id]; len(list) > 0 {
			if status = list[0]; len(list) > 1 {
				h.answers[id] = list[1:]
			}
		}
		h.tries[id]++
		h.mu.Unlock()
		if r.URL.Path != "/" {
			t.Errorf("a redirection was followed to %s", r.URL.Path)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if status == 200 {
			h.taken <- id
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) config(t *testing.T) sink.WebhookConfig {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return sink.WebhookConfig{URL: h.URL + "/", SecretFile: key, DeadFile: filepath.Join(t.TempDir(), "dead.jsonl"), Timeout: 10 * time.Second,
		MaxAttempts: 4, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond}
}

func start(t *testing.T, js jetstream.JetStream, target sink.Target) (stop func()) {
	t.Helper()
	s, err := sink.New(js, sink.Config{Name: "test", Prefix: "backburn", AckWait: 5 * time.Second}, target, zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	// Its place in the stream is there before anything is published.
	for {
		if _, err := js.Consumer(t.Context(), "BACKBURN_RESULTS", "sink-test"); err == nil {
			return stop
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	js := stream(t)
	publish(t, js, "before") // a new sink begins with what comes
	h := newHook(t, map[string][]int{
		"slow": {503, 429, 408, 200}, "gone": {410}, "moved": {302}, "down": {500},
	})
	cfg := h.config(t)
	target, err := sink.NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, js, target)
	publish(t, js, "one", "slow", "gone", "moved", "down", "two")
	var got []string
	for len(got) < 3 {
		got = append(got, <-h.taken)
	}
	if strings.Join(got, " ") != "one slow two" {
		t.Errorf("taken: %v", got)
	}
	stop()
	h.mu.Lock()
	for id, want := range map[string]int{"one": 1, "slow": 4, "gone": 1, "moved": 1, "down": 4, "before": 0} {
		if h.tries[id] != want {
			t.Errorf("%s was tried %d times, want %d", id, h.tries[id], want)
		}
	}
	h.mu.Unlock()
	f, err := os.Open(cfg.DeadFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dead := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l struct {
			Error    string        `json:"error"`
			Attempts int           `json:"attempts"`
			Event    results.Event `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		dead[l.Event.Data.JobID] = fmt.Sprintf("%d %s", l.Attempts, l.Error)
	}
	for id, want := range map[string]string{"gone": "1 the webhook answers 410", "moved": "1 the webhook answers 302", "down": "4 the webhook answers 500"} {
		if dead[id] != want {
			t.Errorf("dead letter of %s: %q, want %q", id, dead[id], want)
		}
	}
	if len(dead) != 3 {
		t.Errorf("%v", dead)
	}

	// What came while it was away is handed on when it is back.
	publish(t, js, "three")
	if target, err = sink.NewWebhook(cfg); err != nil {
		t.Fatal(err)
	}
	start(t, js, target)
	if id := <-h.taken; id != "three" {
		t.Errorf("after a restart comes %s", id)
	}
}

func TestErrorsHideTheAddress(t *testing.T) {
	t.Parallel()
	h := newHook(t, nil)
	cfg := h.config(t)
	cfg.URL, cfg.MaxAttempts = h.URL+"/?token=hush", 1
	h.Close()
	target, err := sink.NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := target.Send(t.Context(), event("a"), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(cfg.DeadFile)
	if err != nil || !strings.Contains(string(b), "can't be reached") || strings.Contains(string(b), "hush") || strings.Contains(string(b), secret) {
		t.Errorf("%s %v", b, err)
	}
}

// An event that can't even be buried stays in the stream.
func TestNothingIsGivenUpUnwritten(t *testing.T) {
	t.Parallel()
	h := newHook(t, map[string][]int{"a": {410}})
	cfg := h.config(t)
	target, err := sink.NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := os.RemoveAll(filepath.Dir(cfg.DeadFile)); err != nil {
		t.Fatal(err)
	}
	body, err := event("a").MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Send(t.Context(), event("a"), body); err == nil {
		t.Error("it was given up, and nobody will know")
	}
}

func TestNewWebhookRefuses(t *testing.T) {
	t.Parallel()
	h := newHook(t, nil)
	for name, change := range map[string]func(*sink.WebhookConfig){
		"secret_file": func(c *sink.WebhookConfig) { c.SecretFile = "/nonexistent" },
		"dead_file":   func(c *sink.WebhookConfig) { c.DeadFile = filepath.Join(c.SecretFile, "no-folder", "dead") },
	} {
		cfg := h.config(t)
		change(&cfg)
		if _, err := sink.NewWebhook(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileRotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := sink.NewFile(sink.FileConfig{Path: filepath.Join(dir, "events.jsonl"), MaxSize: 1_000_000, MaxBackups: 100})
	e := event("a")
	e.Data.Path = strings.Repeat("x", 100_000)
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	const n = 25
	for range n {
		if err := f.Send(t.Context(), e, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events*.jsonl"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v %v", files, err)
	}
	lines := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
			var e results.Event
			if err := e.UnmarshalJSON([]byte(line)); err != nil {
				t.Fatal(err)
			}
			lines++
		}
	}
	if lines != n {
		t.Errorf("%d lines, want %d", lines, n)
	}
}
