package app_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/sink"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

// A file that is submitted to the HTTP API ends as an event in the configured sink.
func TestASubmissionToTheAPIReachesASink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}

		return file
	}
	web := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0), wildfiretest.WithAPIKey("key")).Start()
	defer web.Close()
	archive := filepath.Join(dir, "events.jsonl")
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(dir, "nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.HTTP.Listen, cfg.Watch = "", nil
	cfg.WildFire.Client.BaseURL, cfg.WildFire.Auth = web.URL, "key"
	cfg.Auth = map[string]auth.Profile{"key": {Kind: auth.KindAPIKey, APIKeyFile: secret("key", "key")}}
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	token := api.DefaultToken()
	token.File, token.Source = secret("token", "let-me-in-please"), "proxy"
	cfg.API.Listen, cfg.API.Tokens = "127.0.0.1:0", []api.Token{token}
	fileSink := sink.DefaultConfig()
	fileSink.Name = "archive"
	fileSink.Kind = sink.KindFile
	fileSink.Path = archive
	fileSink.Types = []string{"verdict"}
	cfg.Sink = []sink.Config{fileSink}

	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(t.Context(), cfg, app.Roles{Work: true, API: true, Sinks: true, NATS: server}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()

	// A new sink delivers only events that are published after its consumer exists.
	for {
		if _, err := n.Queue().JetStream().Consumer(ctx, n.Queue().ResultsStream(), "sink-archive"); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.APIAddr()+"/v1/submit?filename=malware.exe&wait=60s", strings.NewReader("MZ malware"))
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer let-me-in-please")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", res.Status, body, err)
	}

	for {
		b, _ := os.ReadFile(archive) // the file does not exist before the first event
		if line, _, _ := strings.Cut(string(b), "\n"); strings.HasSuffix(string(b), "\n") {
			var e results.Event
			if err := e.UnmarshalJSON([]byte(line)); err != nil || e.Data.Source != "proxy" || e.Data.Verdict != "malware" {
				t.Errorf("%s: %v", line, err)
			}

			break
		}

		if ctx.Err() != nil {
			t.Fatal("the sink wrote no event")
		}

		time.Sleep(5 * time.Millisecond) // poll, because nothing announces a change of the file
	}

	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
