package conformance_test

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func splunkPipeline(t *testing.T, r *receiver) *pipeline {
	return newPipeline(t, "splunk", "https://splunk.example.com:8088", r.url, "/etc/backburn/splunk.token", secretFile(t, "hec-token"))
}

func elasticPipeline(t *testing.T, r *receiver) *pipeline {
	return newPipeline(t, "elasticsearch", "https://elastic.example.com:9200", r.url, "/etc/backburn/elastic.key", secretFile(t, "elastic-key"))
}

// All events arrive in order, although the receiver and the pipeline were down; rejected events go
// to the dead_file.
func TestSplunk(t *testing.T) {
	t.Parallel()
	hec := splunk(t)
	p := splunkPipeline(t, hec)
	p.start()
	b := newBackburn(t, p)

	hec.answers(next{status: 503, body: `{"text":"Server is busy","code":9}`}, next{status: 503})
	b.publish("busy")
	hec.has("busy")
	hec.answers(next{status: 400, body: `{"text":"Invalid data format","code":6}`})
	b.publish("rejected")
	b.publish("fine")
	hec.has("busy", "fine")
	if got := b.dead(); got != "rejected: the webhook answers 400\n" {
		t.Errorf("set aside: %q", got)
	}

	p.stop()
	b.publish("restart")
	p.start()
	hec.has("busy", "fine", "restart")

	hec.answers(next{cut: true})
	b.publish("cut")
	hec.has("busy", "fine", "restart", "cut", "cut") // Splunk has no IDs, so the field shows the repeat
	p.silent("hec-token")
}

func TestElasticsearch(t *testing.T) {
	t.Parallel()
	es := elasticsearch(t)
	p := elasticPipeline(t, es)
	p.start()
	b := newBackburn(t, p)

	// The bulk API answers 200 even if it rejects a document.
	es.answers(next{status: 503}, next{status: 200, body: item(429)}, next{status: 200, body: item(503)})
	b.publish("busy")
	es.has("busy")
	es.answers(next{status: 200, body: item(400)})
	b.publish("rejected")
	b.publish("fine")
	es.has("busy", "fine")
	if got := b.dead(); got != "rejected: the webhook answers 400\n" {
		t.Errorf("set aside: %q", got)
	}

	// The document was stored, but the answer was lost: the repeat has the same ID.
	es.answers(next{cut: true})
	b.publish("cut")
	b.publish("last")
	es.has("busy", "fine", "cut", "cut", "last")
	if n := es.different(); n != 4 {
		t.Errorf("%d documents", n)
	}
	if got := b.dead(); got != "rejected: the webhook answers 400\n" {
		t.Errorf("set aside after the repeat: %q", got)
	}

	p.silent("elastic-key")
}

// silent checks that no secret is in the log.
func (p *pipeline) silent(secrets ...string) {
	p.t.Helper()
	for _, s := range append(secrets, secret, strings.TrimPrefix(secret, "whsec_")) {
		if strings.Contains(p.output.String(), s) {
			p.t.Errorf("%q is in the log", s)
		}
	}
}

// With format = "ecs" documents have the fields of ECS.
func TestElasticsearchWithECS(t *testing.T) {
	t.Parallel()
	es := elasticsearch(t)
	p := elasticPipeline(t, es)
	p.start()
	b := newBackburn(t, p, `kind = "webhook"`, "kind = \"webhook\"\nformat = \"ecs\"")
	b.publish("one")
	wait(t, "the document", func() bool { return len(es.jobs()) == 1 })
	es.mu.Lock()
	defer es.mu.Unlock()
	document := es.taken[es.order[0]]
	file, _ := document["file"].(map[string]any)
	if file["name"] != "Rechnung <é>.exe" {
		t.Errorf("%v", document)
	}
}

// The answers of a pipeline to various requests.
func TestAnswers(t *testing.T) {
	t.Parallel()
	hec := splunk(t)
	p := splunkPipeline(t, hec)
	p.start()
	valid := string(encode(t, event("direct")))
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	other := "whsec_" + strings.Repeat("QUJD", 10)
	for name, c := range map[string]struct {
		d      delivery
		splunk next
		want   int
	}{
		"valid":              {d: delivery{}, want: 200},
		"two signatures":     {d: delivery{key: other + "\n" + secret}, want: 200},
		"another key":        {d: delivery{key: other}, want: 401},
		"no signature":       {d: delivery{change: func(r *http.Request) { r.Header.Del("Webhook-Signature") }}, want: 401},
		"an empty one":       {d: delivery{change: header("Webhook-Signature", "v1,")}, want: 401},
		"another id":         {d: delivery{change: header("Webhook-Id", "msg_2")}, want: 401},
		"another time":       {d: delivery{change: header("Webhook-Timestamp", "1795251600")}, want: 401},
		"no time":            {d: delivery{change: header("Webhook-Timestamp", "soon")}, want: 401},
		"old":                {d: delivery{at: time.Now().Add(-time.Hour)}, want: 401},
		"of tomorrow":        {d: delivery{at: time.Now().Add(time.Hour)}, want: 401},
		"a query of its own": {d: delivery{key: other, change: func(r *http.Request) { r.URL.RawQuery = "answer=200&refused=" }}, want: 401},
		"a cookie":           {d: delivery{key: other, change: header("Cookie", "refused=; answer=200")}, want: 401},
		"several parts":      {d: delivery{body: "--b\r\n\r\n" + valid + "\r\n--b--\r\n", change: header("Content-Type", "multipart/mixed; boundary=b")}, want: 401},
		"another method":     {d: delivery{change: func(r *http.Request) { r.Method = http.MethodPut }}, want: 405},
		"no JSON":            {d: delivery{body: valid + "}"}, want: 400},
		"not UTF-8":          {d: delivery{body: "\xff\xfe"}, want: 400},
		"empty":              {d: delivery{body: " "}, want: 400},
		"a list":             {d: delivery{body: "[" + valid + "]"}, want: 400},
		"no id":              {d: delivery{body: `{"source":"s","type":"t","time":"2026-03-04T23:30:15Z"}`}, want: 400},
		"no time in it":      {d: delivery{body: `{"id":"i","source":"s","type":"t","time":"noon"}`}, want: 400},
		"a wrong index":      {splunk: next{status: 400, body: `{"text":"Incorrect index","code":7,"invalid-event-number":0}`}, want: 403},
		"a wrong token":      {splunk: next{status: 403, body: `{"text":"Invalid token","code":4}`}, want: 403},
		"elsewhere":          {splunk: next{status: 302}, want: 404},
		"Splunk's page":      {splunk: next{status: 200, body: "<html>"}, want: 502},
		"not taken":          {splunk: next{status: 200, body: `{"text":"?","code":9}`}, want: 502},
	} {
		if c.d.id = "msg_1"; c.d.body == "" {
			c.d.body = valid
		}

		hec.answers()
		if c.splunk.status != 0 {
			hec.answers(c.splunk)
		}

		before := len(hec.jobs())
		if got := p.deliver(c.d); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if taken := len(hec.jobs()) - before; taken > 0 != (c.want == 200) {
			t.Errorf("%s: %d events taken", name, taken)
		}
		if hec.left() != 0 {
			t.Errorf("%s: Splunk was not asked", name)
		}
	}

	// The key is read at each delivery.
	must(t, os.Rename(p.secretFile, p.secretFile+".away"))
	if got := p.deliver(delivery{id: "msg_1", body: valid}); got != 500 {
		t.Errorf("without a key: %d", got)
	}

	must(t, os.WriteFile(p.secretFile, nil, 0o600))
	if got := p.deliver(delivery{id: "msg_1", body: valid}); got != 401 {
		t.Errorf("with an empty key: %d", got)
	}

	must(t, os.WriteFile(p.secretFile, []byte(other+"\n"), 0o600))
	if got := p.deliver(delivery{id: "msg_1", body: valid, key: other}); got != 200 {
		t.Errorf("with another key: %d", got)
	}

	p.silent("hec-token", other)
}

// takesTwo starts a pipeline, and waits until its output has the events of the jobs one and two.
func (p *pipeline) takesTwo() {
	p.t.Helper()
	p.start()
	b := newBackburn(p.t, p)
	b.publish("one")
	b.publish("two")
	wait(p.t, "records of the output", func() bool { return len(p.records()) >= 2 })
}

// The other two pipelines work up to their outputs, which are stand-ins. An event at which the
// output failed is delivered again.
func TestKafka(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, "kafka")
	p.takesTwo()
	for i, job := range []string{"one", "two"} {
		got := p.records()[i]
		e := event(job)
		id := got.Meta["webhook_id"]
		want := record{
			Where:  "kafka.example.com:9092",
			Values: map[string]string{"topic": "backburn.events", "key": source(t, job) + "/" + job},
			Meta:   map[string]string{"webhook_id": id, "content-type": "application/cloudevents+json; charset=UTF-8"},
			Body:   string(encode(t, e)),
		}
		if !strings.HasPrefix(id, "msg_") || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}

func source(t *testing.T, job string) string {
	var ce struct{ Source string }
	must(t, json.Unmarshal(encode(t, event(job)), &ce))

	return ce.Source
}

func TestS3(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, "s3")
	p.takesTwo()
	paths := map[string]bool{}
	for i, job := range []string{"one", "two"} {
		got := p.records()[i]
		path := got.Values["path"]
		paths[path] = true
		if len(got.Meta) != 2 || got.Meta["webhook_id"] == "" || got.Meta["time"] != "2026-03-04T23:30:15.25Z" {
			t.Errorf("metadata %v", got.Meta)
		}

		if got.Where != "events.example.com" || !strings.HasPrefix(path, "backburn/2026/03/04/msg_") || !strings.HasSuffix(path, ".json") ||
			got.Values["content_type"] != "application/cloudevents+json" || got.Body != string(encode(t, event(job))) {
			t.Errorf("%+v", got)
		}
	}

	if len(paths) != 2 {
		t.Errorf("%v", paths)
	}
}
