package examples_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/acl"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/needs"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// site is a server with the permissions of `backburn acl`, and a worker on it.
type site struct {
	url   string
	users map[string]acl.Permissions
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{users: map[string]acl.Permissions{}}
	var all []acl.Permissions
	for name, o := range map[acl.Role]acl.Options{
		acl.Worker: {}, acl.Gateway: {Sources: []string{"mail"}}, acl.Consumer: {Durable: "siem"},
	} {
		o.Prefix = "backburn"
		p, err := acl.For(name, o)
		if err != nil {
			t.Fatal(err)
		}

		s.users[string(name)] = p
		all = append(all, p)
		t.Setenv(acl.Variable(p.User), "pw")
	}

	file := filepath.Join(t.TempDir(), "nats.conf")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := acl.WriteConf(f, "backburn", all...); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}

	opts.Port = server.RANDOM_PORT
	s.url = strings.TrimPrefix(testkit.StartNATS(t, opts).ClientURL(), "nats://")
	s.work(t)

	return s
}

func (s *site) work(t *testing.T) {
	t.Helper()
	web := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0)).Start()
	t.Cleanup(web.Close)
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = web.URL
	wf, err := wildfire.New(cfg, wildfire.StaticToken("token"))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(wf.Close)
	p := s.users["worker"]
	nc, err := nats.Connect(s.url, nats.UserInfo(p.User, "pw"), nats.CustomInboxPrefix(p.Inbox))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q, err := queue.Open(ctx, nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 64 << 20},
		Queue:    queue.QueueLimits{JobsMaxBytes: 64 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.JetStream().CreateConsumer(ctx, "BACKBURN_RESULTS", jetstream.ConsumerConfig{Durable: "siem", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}

	pcfg := pipeline.DefaultConfig()
	pcfg.Rate = 0
	pcfg.UploadsPerDay = 0
	pcfg.QueriesPerDay = 0
	pcfg.Lease = 3 * time.Second
	pcfg.FirstPoll, pcfg.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	w, err := worker.New(q, pcfg, wf, wf)
	if err != nil {
		t.Fatal(err)
	}

	wctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(wctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

// run runs a command in a folder as a user, and returns what it wrote to standard output.
func (s *site) run(t *testing.T, user, dir string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, os.Environ()
	if p, ok := s.users[user]; ok {
		cmd.Env = append(cmd.Env, "NATS_URL="+s.url, "NATS_USER="+p.User, "NATS_PASSWORD=pw", "NATS_INBOX_PREFIX="+p.Inbox, "NATS_API_PREFIX="+p.API)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out, stderr.String())
	}

	return string(out)
}

// install installs the packages of the Node.js examples from the lock file.
func install(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = "nodejs"
	if out, err := cmd.CombinedOutput(); err != nil {
		needs.CannotRun(t, "npm cannot fetch the packages, so the examples were not run: %v\n%s", err, out)
	}
}

func sample(t *testing.T, name, body string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}

	return file
}

// strictly compiles each schema in Ajv's strict mode, which reports keywords that a validator would
// ignore.
const strictly = `
import { readFile } from "node:fs/promises";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
for (const schema of process.argv.slice(1)) {
  const ajv = new Ajv({ strict: true, strictTypes: true, strictRequired: true, allErrors: true });
  addFormats(ajv);
  ajv.compile(JSON.parse(await readFile(schema, "utf8")));
  console.log(schema);
}`

func TestSchemasAreStrict(t *testing.T) {
	needs.Programs(t, "nodejs npm", "node", "npm")
	install(t)
	schemas, err := filepath.Glob("../results/schema/*.json")
	if err != nil || len(schemas) == 0 {
		t.Fatalf("schemas: %v %v", schemas, err)
	}
	for _, schema := range schemas {
		file := filepath.Join("..", schema)
		cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", strictly, "--", file)
		cmd.Dir = "nodejs"
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != file+"\n" {
			t.Errorf("%s: %v\n%s", schema, err, out)
		}
	}
}

func TestExamples(t *testing.T) {
	needs.Programs(t, "golang nodejs npm", "go", "node", "npm")
	s := newSite(t)
	install(t)

	small, large := sample(t, "malware.exe", "MZ malware"), sample(t, "large.exe", "MZ"+strings.Repeat("large", 1<<19))
	s.run(t, "gateway", "go", "go", "run", "./gateway", "mail", small, large)
	publish := testkit.Command(t, examplesDoc, "node")
	publish[3] = small
	first, again := s.run(t, "gateway", "nodejs", publish...), s.run(t, "gateway", "nodejs", publish...)
	if first != again || again != "{\"job_id\":\"from-node\"}\n" {
		t.Errorf("the same id twice: %s%s", first, again)
	}

	odd := sample(t, "unsupported.xyz", "?")
	s.run(t, "gateway", "nodejs", "node", "publish.mjs", "mail", odd, "odd")

	// The two consumers share the events of one durable, whatever their order.
	two := s.run(t, "consumer", "go", "go", "run", "./consumer", "siem", "2")
	if strings.Count(two, `"id":"`) != 2 || strings.Count(two, "\n") != 2 {
		t.Errorf("the consumer in Go: %s", two)
	}

	consume := strings.Fields(testkit.ShellLine(t, examplesDoc, "node consume.mjs"))
	consume[3] = "2"
	fromNode := s.run(t, "consumer", "nodejs", consume...)
	shown := `{"id":"from-node.verdict","type":"backburn.verdict.v1","job":"from-node","verdict":"malware"}`
	if strings.Contains(fromNode, `"from-node"`) && !strings.Contains(fromNode, shown+"\n") {
		t.Errorf("the consumer in Node.js: %s", fromNode)
	}

	events := two + fromNode
	for _, want := range []string{`"id":"from-node.verdict"`, `"verdict":"malware"`, `"id":"odd.`} {
		if !strings.Contains(events, want) {
			t.Errorf("no %s among the events:\n%s", want, events)
		}
	}
}
