package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"backburn/internal/api"
	"backburn/internal/natsconn"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) {
	leaks.Main(m)
}

const (
	token = "correct-horse-battery"   // for the source proxy, may use urgent
	plain = "incorrect-horse-battery" // for the source mail, may not use urgent
	slow  = "patient-horse-battery"   // for the source scan, with a very low rate
	limit = 3_000_000
)

// site is an API with a real queue.
type site struct {
	t      testing.TB
	nats   *server.Server
	q      *queue.Queue
	cfg    api.Config
	deps   api.Deps
	url    string
	file   string // with the token
	client *http.Client
	stop   func() // stops the server and waits for it
}

func newSite(t testing.TB, change ...func(*site)) *site {
	t.Helper()
	ns := testkit.StartNATS(t, &server.Options{
		NoAuthUser: "all",
		Users: []*server.User{
			{Username: "all"},
			{Username: "mute", Password: "pw", Permissions: &server.Permissions{Publish: &server.SubjectPermission{
				Deny: []string{"backburn.jobs.>", "$JS.API.CONSUMER.>"},
			}}},
		},
	})
	nc, err := nats.Connect(ns.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := &site{t: t, nats: ns, cfg: api.DefaultConfig(), client: &http.Client{Transport: &http.Transport{}}}
	s.q, err = queue.Open(ctx, nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}

	s.file = secretFile(t, token)
	s.cfg.Listen = "127.0.0.1:0"
	s.cfg.Tokens = []api.Token{
		{File: s.file, Source: "proxy", Priority: pipeline.Normal, Urgent: true},
		{File: secretFile(t, plain), Source: "mail", Priority: pipeline.Bulk},
		{File: secretFile(t, slow), Source: "scan", Priority: pipeline.Normal, Rate: 0.001, Burst: 1},
	}
	s.cfg.MaxFileSize = limit
	s.deps = api.Deps{
		Ready:    natsconn.Ready(nc),
		Intake:   s.q.CheckingPublisher(),
		Queue:    s.q,
		Registry: prometheus.NewRegistry(),
		Log:      zerolog.Nop(),
	}
	for _, c := range change {
		c(s)
	}

	web, err := api.New(s.cfg, s.deps)
	if err != nil {
		t.Fatal(err)
	}

	s.url = "http://" + web.Addr().String()
	rctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Run(rctx, 10*time.Second) }()
	s.stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("the API: %v", err)
		}
	})
	t.Cleanup(s.stop)
	t.Cleanup(s.client.CloseIdleConnections)

	return s
}

func secretFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	return file
}

// work runs a worker against a simulated WildFire.
func (s *site) work() {
	s.t.Helper()
	sim := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0))
	web := sim.Start()
	s.t.Cleanup(web.Close)
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = web.URL
	wf, err := wildfire.New(cfg, wildfire.StaticToken("token"))
	if err != nil {
		s.t.Fatal(err)
	}

	s.t.Cleanup(wf.Close)
	p := pipeline.DefaultConfig()
	p.Rate = 0
	p.UploadsPerDay = 0
	p.QueriesPerDay = 0
	p.Lease = 3 * time.Second
	p.FirstPoll, p.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	w, err := worker.New(s.q, p, wf, wf)
	if err != nil {
		s.t.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Errorf("worker: %v", err)
		}
	})
}

// reply is an answer with its body.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) field(t testing.TB, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	s, _ := m[name].(string)

	return s
}

func (s *site) do(method, path string, body io.Reader, header ...string) reply {
	s.t.Helper()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = io.ReadAll(body); err != nil {
			s.t.Fatal(err)
		}
	}

	sized := reflect.TypeOf(body) == reflect.TypeFor[*strings.Reader]()

	// A client that continues to send a refused body may see the end of the connection before the
	// answer.
	for try := 1; ; try++ {
		switch {
		case body == nil:
		case sized:
			body = strings.NewReader(string(sent))
		default:
			body = io.MultiReader(bytes.NewReader(sent))
		}

		r, err := s.try(method, path, body, header...)
		if err == nil {
			s.checkDocumented(path, method, r)
			return r
		}

		if try == 5 || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			s.t.Fatal(err)
		}
	}
}

// try makes a request once.
func (s *site) try(method, path string, body io.Reader, header ...string) (reply, error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		switch name := header[i]; {
		case name == "Host":
			req.Host = header[i+1]
		case i > 1 && header[i-2] == name:
			req.Header.Add(name, header[i+1])
		default:
			req.Header.Set(name, header[i+1])
		}
	}

	res, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)

	return reply{res.StatusCode, res.Header, b}, err
}

var openapi = document()

// document is docs/openapi.yaml.
func document() map[string]any {
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		panic(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		panic(err)
	}

	return doc
}

// at returns a value in a document by its path, following references.
func at(doc any, path ...string) any {
	for _, p := range path {
		m, _ := doc.(map[string]any)
		doc = m[p]
		if m, ok := doc.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok && strings.HasPrefix(ref, "#/") && len(m) == 1 {
				doc = at(any(openapi), strings.Split(ref[2:], "/")...)
			}
		}
	}
	return doc
}

// checkDocumented checks an answer against the document: the operation has that status and type,
// and the body matches its schema.
func (s *site) checkDocumented(path, method string, r reply) {
	s.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for prefix, template := range map[string]string{"/v1/jobs/": "/v1/jobs/{id}", "/v1/verdicts/": "/v1/verdicts/{sha256}"} {
		if strings.HasPrefix(path, prefix) {
			path = template
		}
	}

	name := "Problem" // paths that the document does not have
	mediaType := "application/problem+json"
	if at(any(openapi), "paths", path, strings.ToLower(method)) != nil {
		content, _ := at(any(openapi), "paths", path, strings.ToLower(method), "responses", itoa(r.status), "content").(map[string]any)
		if len(content) != 1 {
			s.t.Errorf("%s %s answers %d, which the document does not have: %s", method, path, r.status, r.body)
			return
		}

		for mt, v := range content {
			ref, _ := v.(map[string]any)["schema"].(map[string]any)["$ref"].(string)
			mediaType, name = mt, strings.TrimPrefix(ref, "#/components/schemas/")
		}
	}

	if ct := r.header.Get("Content-Type"); ct != mediaType {
		s.t.Errorf("%s %s: Content-Type %q, want %q", method, path, ct, mediaType)
	}

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, r.body)
	}
	if err := schema(s.t, name).Validate(doc); err != nil {
		s.t.Errorf("%s %s: %v\n%s", method, path, err, r.body)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// schema compiles a schema of the document, with the JSON Schemas of the contracts that it refers
// to.
func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(openapi)
	if err != nil {
		t.Fatal(err)
	}

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}

	event, err := os.Open("../../results/schema/event.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	eventDoc, err := jsonschema.UnmarshalJSON(event)
	if err != nil {
		t.Fatal(err)
	}

	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for url, d := range map[string]any{"file:///docs/openapi.yaml": doc, "file:///results/schema/event.v1.json": eventDoc} {
		if err := c.AddResource(url, d); err != nil {
			t.Fatal(err)
		}
	}

	s, err := c.Compile("file:///docs/openapi.yaml#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}

	return s
}
