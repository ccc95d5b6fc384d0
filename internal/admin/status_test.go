package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/admin"
	"backburn/internal/health"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))

	return w.Code, w.Body.String()
}

func listenOn(listen string) admin.Config {
	cfg := admin.DefaultConfig()
	cfg.Listen = listen

	return cfg
}

func parts(all ...health.Status) func() []health.Status { return func() []health.Status { return all } }

func allDeps() admin.Deps {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "backburn_test_total", Help: "h"})
	registry.MustRegister(counter)
	counter.Add(7)

	return admin.Deps{
		Parts:    parts(health.Status{Part: "nats", State: health.OK}),
		Registry: registry,
		Status:   func(context.Context) (any, error) { return map[string]int{"waiting": 3}, nil },
		Page:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }),
		Log:      zerolog.Nop(),
	}
}

func TestEachPathAnswers(t *testing.T) {
	t.Parallel()
	failing := allDeps()
	failing.Status = func(context.Context) (any, error) { return nil, errors.New("nats is away") }
	notJSON := allDeps()
	notJSON.Status = func(context.Context) (any, error) { return make(chan int), nil }
	noPage := allDeps()
	noPage.Page = nil
	for name, tc := range map[string]struct {
		deps   admin.Deps
		method string
		path   string
		code   int
		body   string
	}{
		"health":              {allDeps(), "GET", "/healthz", 200, `{"status":"ok"}`},
		"health, HEAD":        {allDeps(), "HEAD", "/healthz", 200, ""},
		"health, POST":        {allDeps(), "POST", "/healthz", 405, ""},
		"ready":               {allDeps(), "GET", "/readyz", 200, `"part":"nats","state":"ok"`},
		"ready without parts": {admin.Deps{}, "GET", "/readyz", 200, `{"status":"ok","parts":[]}`},
		"metrics":             {allDeps(), "GET", "/metrics", 200, "backburn_test_total 7"},
		"no metrics":          {admin.Deps{}, "GET", "/metrics", 404, ""},
		"status":              {allDeps(), "GET", "/api/status", 200, `{"waiting":3}`},
		"status fails":        {failing, "GET", "/api/status", 503, `{"error":"nats is away"}`},
		"status is no JSON":   {notJSON, "GET", "/api/status", 500, `cannot be encoded`},
		"no status":           {admin.Deps{}, "GET", "/api/status", 404, ""},
		"page":                {allDeps(), "GET", "/", 200, "page"},
		"no page":             {noPage, "GET", "/", 404, ""},
		"no pprof":            {noPage, "GET", "/debug/pprof/", 404, ""},
		"pprof":               {allDeps(), "GET", "/debug/pprof/", 200, "goroutine"},
		"pprof, heap":         {allDeps(), "GET", "/debug/pprof/heap", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := admin.Config{Pprof: strings.HasPrefix(name, "pprof")}
			code, body := get(t, admin.Handler(cfg, tc.deps), tc.method, tc.path)
			if code != tc.code || !strings.Contains(body, tc.body) {
				t.Errorf("got %d %s\nwant %d with %s", code, body, tc.code, tc.body)
			}
		})
	}
}

// A failed part makes a process not ready. A part that is degraded or has a note does not.
func TestReadyzReportsThePartsOfTheRegistry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault error
		code  int
		body  string
	}{
		"ok":          {nil, 200, `"status":"ok"`},
		"with a note": {health.Note("one file cannot be read"), 200, `"note":"one file cannot be read"`},
		"degraded":    {health.Fault{State: health.Degraded, Reason: "polled", Cause: health.CauseOther}, 200, `"state":"degraded"`},
		"failed":      {health.Fault{Reason: "disk is full", Remedy: "free some", Cause: health.CauseFull}, 503, `"cause":"full","reason":"disk is full","remedy":"free some"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := health.New(zerolog.Nop())
			r.Part("disk", "").Check(tc.fault)
			code, body := get(t, admin.Handler(admin.Config{}, admin.Deps{Parts: r.Parts}), "GET", "/readyz")
			if code != tc.code || !strings.Contains(body, tc.body) {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}

func TestRunFinishesRequestsInProgress(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	cfg := allDeps()
	cfg.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	s, err := admin.New(listenOn("127.0.0.1:0"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.New(listenOn(s.Addr().String()), cfg); err == nil || !strings.Contains(err.Error(), "http.listen") {
		t.Errorf("a second listener: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, time.Minute) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer := make(chan string, 1)
	go func() {
		res, err := client.Get("http://" + s.Addr().String() + "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-entered
	cancel() // during a request
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("the request in progress got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunCancelsRequestsAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s, err := admin.New(listenOn("127.0.0.1:0"), admin.Deps{Page: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, time.Millisecond) }()
	clientDone := make(chan struct{})
	go func() {
		defer close(clientDone)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if res, err := client.Get("http://" + s.Addr().String() + "/"); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	<-clientDone
}

func TestCloseWithoutRunReleasesTheAddress(t *testing.T) {
	t.Parallel()
	s, err := admin.New(listenOn("127.0.0.1:0"), admin.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	s.Close()
	again, err := admin.New(listenOn(addr), admin.Deps{})
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	again.Close()
}

// Every path, including those of probes and scrapers, answers only requests for a configured host
// name.
func TestEveryPathRefusesOtherHostNames(t *testing.T) {
	t.Parallel()
	cfg := listenOn("127.0.0.1:0")
	cfg.Pprof = true
	cfg.Names = []string{"backburn.internal"}
	s, err := admin.New(cfg, allDeps())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, time.Minute) }()
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/api/status", "/debug/pprof/"} {
		for host, want := range map[string]int{"": 200, "backburn.internal": 200, "rebound.example": http.StatusMisdirectedRequest} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}

			req.Host = host
			res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}

			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s of %q: %d, want %d", path, host, res.StatusCode, want)
			}
		}
	}

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
