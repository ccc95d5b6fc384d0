package conformance_test

import (
	"bytes"
	"context"
	"fmt"
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
	"backburn/pipeline/queue"
	"backburn/results"
)

// site is a server with the roles' permissions, and the nats program.
type site struct {
	url, program string
	users        map[string]acl.Permissions // by name without the prefix
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{program: filepath.Join(t.TempDir(), "nats"), users: map[string]acl.Permissions{}}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.program, "github.com/nats-io/natscli/nats")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats: %v\n%s", err, out)
	}

	var all []acl.Permissions
	for _, r := range []struct {
		role acl.Role
		o    acl.Options
	}{
		{acl.Worker, acl.Options{}},
		{acl.Operator, acl.Options{}},
		{acl.Gateway, acl.Options{Sources: []string{"mail"}}},
		{acl.Consumer, acl.Options{Durable: "siem"}},
		{acl.Consumer, acl.Options{Durable: "other"}},
	} {
		r.o.Prefix = "backburn"
		p, err := acl.For(r.role, r.o)
		if err != nil {
			t.Fatal(err)
		}

		s.users[strings.TrimPrefix(p.User, "backburn-")] = p
		all = append(all, p)
		t.Setenv(acl.Variable(p.User), "pw")
	}

	var conf bytes.Buffer
	if err := acl.WriteConf(&conf, "backburn", all...); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, conf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}

	opts.Port = server.RANDOM_PORT
	s.url = testkit.StartNATS(t, opts).ClientURL()

	return s
}

// js returns a JetStream context with a role's permissions.
func (s *site) js(t *testing.T, user string) jetstream.JetStream {
	t.Helper()
	p := s.users[user]
	nc, err := nats.Connect(s.url, nats.UserInfo(p.User, "pw"), nats.CustomInboxPrefix(p.Inbox))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if p.API == "" {
		p.API = "$JS.API"
	}
	js, err := jetstream.NewWithAPIPrefix(nc, p.API)
	if err != nil {
		t.Fatal(err)
	}

	return js
}

// run runs a shell command as a role.
func (s *site) run(t *testing.T, user, command, dir string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(s.program)+":"+os.Getenv("PATH"), "HOME="+t.TempDir(),
		"NATS_URL="+s.url, "NATS_USER="+s.users[user].User, "NATS_PASSWORD=pw")
	out, err := cmd.CombinedOutput()

	return string(out), err
}

// commands returns the "nats" commands in a section of a document.
func commands(t *testing.T, document, section string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", document))
	if err != nil {
		t.Fatal(err)
	}

	_, text, ok := strings.Cut(string(b), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", document, section)
	}

	_, text, _ = strings.Cut(text, "```")
	text, _, _ = strings.Cut(text, "```")
	var list []string
	for _, part := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if strings.HasPrefix(part, "nats ") {
			list = append(list, part)
		}
	}

	if len(list) == 0 {
		t.Fatalf("%s, %q: no commands", document, section)
	}

	return list
}

func open(t *testing.T, s *site) jetstream.JetStream {
	t.Helper()
	js := s.js(t, "worker")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := queue.Open(ctx, js.Conn(), queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
		Queue:    queue.QueueLimits{JobsMaxBytes: 64 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}

	return js
}

func TestConsumersOfTheDocuments(t *testing.T) {
	s := newSite(t)
	worker := open(t, s)
	for i := range 3 {
		code, now := 1, time.Now().UTC()
		e := results.Event{Type: results.Verdict, Time: now, Data: results.Data{
			JobID:       fmt.Sprint("job-", i),
			Source:      "mail",
			Verdict:     "malware",
			VerdictCode: &code,
			Basis:       results.BasisLookup,
			DecidedAt:   now,
		}}
		body, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := worker.Publish(t.Context(), e.Subject("backburn"), body); err != nil {
			t.Fatal(err)
		}
	}

	// As an operator, then as the consumer, as in the document.
	list := commands(t, "events.md", "Reading events")
	if len(list) != 2 {
		t.Fatalf("commands %q", list)
	}
	if out, err := s.run(t, "operator", list[0], t.TempDir()); err != nil {
		t.Fatalf("%s: %v\n%s", list[0], err, out)
	}
	if out, err := s.run(t, "operator", strings.Replace(list[0], " siem ", " other ", 1), t.TempDir()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	next := strings.Replace(list[1], "--count 10", "--count 3", 1)
	out, err := s.run(t, "consumer-siem", next, t.TempDir())
	if err != nil || strings.Count(out, `"type":"backburn.verdict.v1"`) != 3 {
		t.Fatalf("%s: %v\n%s", next, err, out)
	}

	// They are acknowledged, and the other consumer still has all of its events.
	operator := s.js(t, "operator")
	for name, want := range map[string]uint64{"siem": 0, "other": 3} {
		c, err := operator.Consumer(t.Context(), "BACKBURN_RESULTS", name)
		if err != nil {
			t.Fatal(err)
		}
		if i := c.CachedInfo(); i.NumPending != want || i.NumAckPending != 0 {
			t.Errorf("%s: %d events pending, %d not acknowledged, want %d", name, i.NumPending, i.NumAckPending, want)
		}
	}

	// The other consumer cannot be read, inspected, deleted or replaced, and no consumer can be
	// created.
	as := "nats --timeout 3s --inbox-prefix _INBOX_backburn_consumer-siem --js-api-prefix backburn.api consumer "
	for _, command := range []string{
		"next BACKBURN_RESULTS other --count 1 --ack --timeout 3s",
		"info BACKBURN_RESULTS other",
		"rm BACKBURN_RESULTS other --force",
		"rm BACKBURN_RESULTS siem --force",
		"add BACKBURN_RESULTS mine --pull --ack explicit --deliver all --defaults",
		"add BACKBURN_RESULTS other --pull --ack explicit --deliver new --defaults",
	} {
		if out, err := s.run(t, "consumer-siem", as+command, t.TempDir()); err == nil || strings.Contains(out, `"specversion"`) {
			t.Errorf("%s is allowed: %s", command, out)
		}
	}

	for _, name := range []string{"siem", "other"} {
		if _, err := operator.Consumer(t.Context(), "BACKBURN_RESULTS", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	c, err := operator.Consumer(t.Context(), "BACKBURN_RESULTS", "other")
	if err != nil || c.CachedInfo().NumPending != 3 {
		t.Errorf("the other consumer lost events: %v", err)
	}

	// With nats.go, as in the document, for the other consumer.
	mine, err := s.js(t, "consumer-other").Consumer(t.Context(), "BACKBURN_RESULTS", "other")
	if err != nil {
		t.Fatal(err)
	}

	batch, err := mine.Fetch(3, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	n := 0
	for m := range batch.Messages() {
		n++
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Error(err)
		}
	}

	if n != 3 || batch.Error() != nil {
		t.Errorf("%d events, %v", n, batch.Error())
	}
}

func TestGatewaysOfTheDocuments(t *testing.T) {
	s := newSite(t)
	worker := open(t, s)
	dir := t.TempDir()
	for name, size := range map[string]int{"invoice.exe": 100, "invoice.iso": 3 << 20} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for _, command := range commands(t, "gateways.md", "NATS, from the command line") {
		if !strings.Contains(command, "--inbox-prefix") {
			command += " --inbox-prefix _INBOX_backburn_gateway-mail"
		}

		out, err := s.run(t, "gateway-mail", command+" --js-api-prefix backburn.api", dir)
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}

	jobs, err := worker.Stream(t.Context(), "BACKBURN_JOBS")
	if err != nil || jobs.CachedInfo().State.Msgs != 3 {
		t.Errorf("%+v, %v: want 3 jobs", jobs.CachedInfo().State, err)
	}
}
