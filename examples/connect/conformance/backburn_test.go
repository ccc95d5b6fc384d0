package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/sink/credential"
	"backburn/internal/testkit"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

// backburn is a complete Backburn process with the document's sink, which delivers to a pipeline.
type backburn struct {
	t        *testing.T
	node     *app.Node
	deadFile string
}

func newBackburn(t *testing.T, p *pipeline, changes ...string) *backburn {
	t.Helper()
	b := &backburn{t: t, deadFile: filepath.Join(t.TempDir(), "dead.jsonl")}
	changes = append(changes, "127.0.0.1:4196", p.listen, "/etc/backburn/connect.secret", p.secretFile, "data/connect.dead.jsonl", b.deadFile)
	text := strings.NewReplacer(changes...).Replace(testkit.Block(t, document, "[[sink]]\nname = \"connect\""))
	cfg, err := config.Decode([]byte(text), "backburn.toml", nil)
	must(t, err)
	must(t, cfg.Validate(0))

	web := wildfiretest.New(wildfiretest.WithAPIKey("key")).Start()
	t.Cleanup(web.Close)
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(t.TempDir(), "nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.HTTP.Listen, cfg.Watch = "", nil
	cfg.WildFire.Client.BaseURL, cfg.WildFire.Auth = web.URL, "key"
	cfg.Auth = map[string]auth.Profile{"key": {Kind: auth.KindAPIKey, APIKeyFile: secretFile(t, "key")}}
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	must(t, err)
	t.Cleanup(server.Shutdown)
	cfg.NATS = server.NATS()
	b.node, err = app.Start(t.Context(), cfg, app.Roles{Work: true, Sinks: true, NATS: server}, zerolog.Nop())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("backburn: %v", err)
		}
	})

	// A new sink starts with new events.
	wait(t, "the sink's consumer", func() bool {
		_, err := b.node.Queue().JetStream().Consumer(t.Context(), b.node.Queue().ResultsStream(), "sink-connect")
		return err == nil
	})

	return b
}

// publish publishes the event of a job.
func (b *backburn) publish(job string) {
	b.t.Helper()
	e := event(job)
	_, err := b.node.Queue().JetStream().Publish(b.t.Context(), e.Subject("backburn"), encode(b.t, e))
	must(b.t, err)
}

func event(job string) results.Event {
	at := time.Date(2026, 3, 4, 23, 30, 15, 250_000_000, time.UTC)

	return results.Event{Type: results.Verdict, Time: at, Data: results.Data{
		JobID:    job,
		Source:   "mail",
		Filename: "Rechnung <é>.exe",
		SHA256:   strings.Repeat("ab", 32),
		Size:     7,
		Verdict:  "malware",
	}}
}

func encode(t *testing.T, e results.Event) []byte {
	t.Helper()
	text, err := e.MarshalJSON()
	must(t, err)

	return text
}

// dead returns the job IDs in the dead_file, with the reasons.
func (b *backburn) dead() string {
	var all strings.Builder
	text, _ := os.ReadFile(b.deadFile) // does not exist before the first one
	for line := range strings.Lines(string(text)) {
		var d struct {
			Error string
			Event results.Event
		}
		must(b.t, json.Unmarshal([]byte(line), &d))
		fmt.Fprintf(&all, "%s: %s\n", d.Event.Data.JobID, d.Error)
	}

	return all.String()
}

// delivery is a request to a pipeline, signed like Backburn's.
type delivery struct {
	id, body string
	at       time.Time
	key      string
	change   func(*http.Request)
}

// deliver returns the status of the pipeline's answer.
func (p *pipeline) deliver(d delivery) int {
	p.t.Helper()
	if d.at.IsZero() {
		d.at = time.Now()
	}
	if d.key == "" {
		d.key = secret
	}

	keys, err := credential.ReadKeys(secretFile(p.t, d.key))
	must(p.t, err)
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.listen+"/backburn", bytes.NewReader([]byte(d.body)))
	must(p.t, err)
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set(credential.HeaderID, d.id)
	req.Header.Set(credential.HeaderTimestamp, fmt.Sprint(d.at.Unix()))
	req.Header.Set(credential.HeaderSignature, credential.Sign(keys, d.id, d.at, []byte(d.body)))
	if d.change != nil {
		d.change(req)
	}

	req.Close = true
	res, err := http.DefaultClient.Do(req)
	must(p.t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	must(p.t, err)

	return res.StatusCode
}
