package pipeline_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/testkit/schemas"
	"backburn/pipeline"
	"backburn/results/schema"
	"backburn/wildfire"
)

// Published events follow the schema, whatever the outcome of the job.
func TestEventsMatchTheSchema(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = time.Second
	f.startWorker()
	f.submitRaw("good", "mail", "good.exe", "MZ good")
	f.submitRaw("changed", "mail", "changed.exe", "MZ changed")
	f.submitRaw("bad", "mail", "malware.exe", "MZ bad")
	f.submitRaw("again", "mail", "malware.exe", "MZ bad")
	f.submitRaw("odd", "mail", "odd.exe", "MZ odd")
	f.submitRaw("type", "mail", "unsupported.xyz", "?")
	f.submitRaw("empty", "mail", "empty.exe", "")
	f.submitRaw("latin", "mail", "caf\xe9.exe", "MZ latin")
	f.publish("backburn.jobs.normal.mail", nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {"url"}},
		`{"version":1,"kind":"url","url":"https://example.com/phishing","metadata":{"client":"10.0.0.7"}}`)
	f.publish("backburn.jobs.normal.mail", nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {"nonsense"}}, `{"version":`)
	f.waitEvents(10)
	if !f.wildfire.SetVerdict("", sha256Hex("MZ changed"), wildfire.Malware) {
		t.Fatal("WildFire does not know it")
	}
	f.waitEventsUntil(func(es events) bool { return len(es.ofType("backburn.changed.v1")) == 1 })

	s := schemas.Compile(t, schema.Event)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := f.q.JetStream().OrderedConsumer(ctx, f.q.ResultsStream(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(1000)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		n++
		if err := schemas.Validate(t, s, m.Data()); err != nil {
			t.Errorf("%s: %v\n%s", m.Subject(), err, m.Data())
		}
		if ct := m.Headers().Get("Content-Type"); ct != "application/cloudevents+json" {
			t.Errorf("%s: Content-Type %q", m.Subject(), ct)
		}
	}
	if n < 17 {
		t.Errorf("only %d events were checked", n)
	}
}

// Our own jobs follow the schema, and the code refuses what the schema refuses.
func TestJobsMatchTheSchema(t *testing.T) {
	t.Parallel()
	s := schemas.Compile(t, schema.Job)
	for name, j := range map[string]pipeline.Job{
		"path": {
			Version: 1, Kind: pipeline.KindFile, Filename: "a.exe", Size: 3, SHA256: "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
			Content: &pipeline.Content{Path: "mail/a.exe"}, ReceivedAt: time.Now().UTC(),
		},
		"object": {Version: 1, Kind: pipeline.KindFile, Filename: "a", Content: &pipeline.Content{Object: "x"}, Metadata: map[string]string{"k": "v"}},
		"url":    {Version: 1, Kind: pipeline.KindURL, URL: "http://example.com"},
	} {
		body, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(t, s, body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range badJobs {
		if !json.Valid([]byte(body)) {
			continue
		}
		if err := schemas.Validate(t, s, []byte(body)); err == nil && !undetectedBySchema[name] {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}
