package app_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/testkit/logbuf"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire/wildfiretest"
)

// processOneJob starts a node that sends spans to endpoint, waits for the verdict of one job, and
// stops the node.
func processOneJob(t *testing.T, endpoint string, log zerolog.Logger) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	check(t, os.WriteFile(key, []byte("key\n"), 0o600))
	web := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0), wildfiretest.WithAPIKey("key")).Start()
	defer web.Close()
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(dir, "nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.HTTP.Listen, cfg.Watch = "", nil
	cfg.WildFire.Client.BaseURL, cfg.WildFire.Auth = web.URL, "key"
	cfg.Auth = map[string]auth.Profile{"key": {Kind: auth.KindAPIKey, APIKeyFile: key}}
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	cfg.Tracing.Endpoint = endpoint
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	check(t, err)
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(t.Context(), cfg, app.Roles{Work: true, NATS: server}, log)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	const body = "wildfire-test:phishing"
	j := pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Normal, Filename: "a.html"}
	_, err = n.Queue().Publisher().Submit(ctx, j, queue.FromReader(strings.NewReader(body), int64(len(body))))
	check(t, err)
	ev, err := n.Queue().Ledger().Await(ctx, j.Ref())
	if err != nil || ev.Data.Verdict != "phishing" {
		t.Errorf("%+v: %v", ev, err)
	}

	cancel()
	check(t, <-done)
}

// A node sends its spans to a collector. It sends the last ones when it stops.
func TestSpansReachTheCollector(t *testing.T) {
	t.Parallel()
	var (
		mu         sync.Mutex
		spans      = map[string]int{}  // by name
		attributes = map[string]bool{} // of the process, as "key=value"
	)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/base/v1/traces" || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}

		var got collector.ExportTraceServiceRequest
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}

		b, err := io.ReadAll(z)
		if err != nil || proto.Unmarshal(b, &got) != nil {
			t.Errorf("%q: %v", b, err)
		}

		mu.Lock()
		defer mu.Unlock()
		for _, rs := range got.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				attributes[a.GetKey()+"="+a.GetValue().GetStringValue()] = true
			}

			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					spans[s.GetName()]++
				}
			}
		}
	}))
	defer web.Close()
	processOneJob(t, web.URL+"/base", zerolog.Nop())
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"backburn.job", "backburn.ask", "backburn.upload", "backburn.verdict"} {
		if spans[name] != 1 {
			t.Errorf("got %d spans %s, want 1", spans[name], name)
		}
	}

	if !attributes["service.name=backburn"] || !attributes["backburn.role=worker"] {
		t.Errorf("the process of the spans has the attributes %v", attributes)
	}
}

// If the collector fails, spans are lost and one warning is logged. Jobs are not affected.
func TestACollectorFailureCostsOnlySpans(t *testing.T) {
	t.Parallel()
	refuses := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refuses.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices a closed connection only after the body was read
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	for name, url := range map[string]string{"answers 404": refuses.URL, "is not running": gone.URL, "never answers": hangs.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logbuf.Buffer
			processOneJob(t, url, zerolog.New(&log).Level(zerolog.WarnLevel))
			if n := strings.Count(log.String(), `"part":"traces"`); n != 1 {
				t.Errorf("%d warnings:\n%s", n, log.String())
			}
		})
	}
}
