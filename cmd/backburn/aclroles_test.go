package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
)

// denials is a server's log that keeps what the server denies to its clients.
type denials struct {
	mu   sync.Mutex
	seen []string
}

func (d *denials) Errorf(format string, v ...any) {
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Violation") {
		d.mu.Lock()
		d.seen = append(d.seen, line)
		d.mu.Unlock()
	}
}

func (d *denials) Noticef(string, ...any) {}
func (d *denials) Warnf(string, ...any)   {}
func (d *denials) Fatalf(string, ...any)  {}
func (d *denials) Debugf(string, ...any)  {}
func (d *denials) Tracef(string, ...any)  {}

// all returns what was denied so far, and forgets it.
func (d *denials) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := strings.Join(d.seen, "\n")
	d.seen = nil

	return all
}

// aclSite is an installation whose NATS server has the users that `backburn acl` prints.
type aclSite struct {
	*testkit.Site
	t      *testing.T
	domain string
	url    string
	denied denials
}

func newACLSite(t *testing.T, leafNode bool) *aclSite {
	t.Helper()
	s := &aclSite{Site: testkit.NewSite(t), t: t}
	s.WriteFile("password", "pw\n")
	s.WriteFile("token", "sixteen characters\n")
	if leafNode {
		s.domain = "hub"
	}
	s.as("worker")
	printed := s.Start("backburn", "acl")
	if code := printed.Wait(); code != 0 {
		t.Fatalf("backburn acl: exit code %d", code)
	}
	users := regexp.MustCompile(`\$BACKBURN_\w+`).ReplaceAllString(printed.Stdout(), "pw")

	if !leafNode {
		opts := s.options(users)
		s.url = s.watched(testkit.StartNATS(t, opts)).ClientURL()

		return s
	}

	hub := s.options(`
		leafnodes { listen: 127.0.0.1:-1, authorization { users: [{user: leaf, password: leaf, account: BACKBURN}] } }
		accounts { BACKBURN { jetstream: enabled } }`)
	hub.ServerName = "hub"
	hub.JetStreamDomain = "hub"
	testkit.StartNATS(t, hub)
	leaf := s.options(users)
	leaf.ServerName = "leaf"
	leaf.JetStreamDomain = "leaf"
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(hub.LeafNode.Port))
	remote := &url.URL{Scheme: "nats", User: url.UserPassword("leaf", "leaf"), Host: address}
	leaf.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}, LocalAccount: "BACKBURN"}}
	s.url = s.watched(testkit.StartNATS(t, leaf)).ClientURL()

	return s
}

func (s *aclSite) options(conf string) *server.Options {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, conf)
	}
	opts.Port = server.RANDOM_PORT

	return opts
}

func (s *aclSite) watched(ns *server.Server) *server.Server {
	ns.SetLogger(&s.denied, false, false)

	return ns
}

// as writes the configuration of a process, or of a person, with the NATS user of a role.
func (s *aclSite) as(role string) {
	s.t.Helper()
	settings := testkit.Settings{
		"nats.embedded.enabled": false,
		"nats.user":             "backburn-" + role,
		"nats.password_file":    s.Path("password"),
		"watch.source":          "quarantine",
		"clamd.listen":          "127.0.0.1:0",
		"mail.listen":           "127.0.0.1:0",
		"api.listen":            "127.0.0.1:0",
	}
	if s.domain != "" {
		settings["nats.domain"] = s.domain
	}
	if s.url != "" {
		settings["nats.url"] = s.url
	}
	s.Configure(settings)
	s.Append(`
[[api.token]]
file = "token"
source = "hr"
[[sink]]
name = "archive"
kind = "file"
path = "events.jsonl"
`)
}

// run runs a command with the NATS user of a role, and returns its output.
func (s *aclSite) run(role string, want int, command string) string {
	s.t.Helper()
	s.as(role)
	began := time.Now()
	p := s.Start("backburn", strings.Fields(command)...)
	if code := p.Wait(); code != want {
		s.t.Errorf("%s as %s: exit code %d after %s, want %d\n%s%s", command, role, code, time.Since(began), want, p.Stdout(), p.Stderr())
	}

	return p.Stdout() + p.Stderr()
}

// TestCommandsWithPermissions runs every process and every command with the users of `backburn
// acl`, on a server and on a leaf node of another one, and expects that nothing is denied.
func TestCommandsWithPermissions(t *testing.T) {
	t.Parallel()
	for name, leafNode := range map[string]bool{"server": false, "leaf node": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newACLSite(t, leafNode)
			s.as("watcher")
			early := s.Start("backburn", "watcher")
			early.Logged("part is degraded") // it may not create the queue
			s.denied.all()
			for _, process := range []struct{ command, role string }{
				{"worker", "worker"}, {"api", "api"}, {"clamd", "api"}, {"mail", "api"}, {"sink", "api"},
			} {
				s.as(process.role)
				s.Start("backburn", process.command).Logged("ready")
			}

			early.Logged("ready")
			if _, parts := early.Ask("/readyz"); !strings.Contains(parts, `{"part":"permissions","state":"ok"`) {
				t.Errorf("the watcher that started first: %s", parts)
			}

			s.WriteFile("malware.exe", "MZ malware")
			s.WriteFile("large.exe", "MZ"+strings.Repeat("large", 1<<19))
			s.WriteFile("sheet.unsupported", "?")
			hash := testkit.File{Name: "malware.exe", Body: []byte("MZ malware")}.SHA256()
			for _, c := range []struct {
				command string
				want    int
			}{
				{"submit --wait large.exe", 0},
				{"submit --wait malware.exe", 1},
				{"submit --wait sheet.unsupported", 3},
				{"status", 0},
				{"doctor", 0},
				{"results", 0},
				{"trace malware.exe", 0},
				{"dead list", 0},
				{"dead show 1", 0},
				{"dead replay 1", 0},
				{"dead drop --all --yes", 0},
				{"verdict " + hash, 1},
				{"recheck " + hash, 1},
				{"report " + hash, 0},
				{"token --status", 0},
				{"pause --for 1m", 0},
				{"resume", 0},
				{"plan quarantine", 0},
				{"unclaim", 0},
				{"sink replay archive --since 1h", 0},
			} {
				s.run("operator", c.want, c.command)
			}
			s.run("api", 0, "sink replay archive --since 1h") // with the configuration of the sink's process
			if denied := s.denied.all(); strings.Contains(denied, "user:backburn-operator") || strings.Contains(denied, "Publish Violation") {
				t.Errorf("denied: %s", denied)
			}

			// With the user of a process, a command says at once why it fails.
			began := time.Now()
			out := s.run("watcher", 4, "dead list")
			if !strings.Contains(out, "use the credentials of the role operator") || time.Since(began) > 5*time.Second {
				t.Errorf("after %s: %s", time.Since(began), out)
			}
		})
	}
}

// A command that reaches no JetStream says what to check: the domain, if one is set.
func TestWrongDomain(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{JetStreamDomain: "hub"})
	for domain, want := range map[string]string{"hub": "no Backburn queue", "other": "check that nats.domain names"} {
		s := testkit.NewSite(t)
		s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "nats.domain": domain})
		testkit.Fails(t, s.Start("backburn", "dead", "list"), 4, want)
		p := s.Start("backburn", "doctor")
		p.Wait()
		if !strings.Contains(p.Stdout(), want) {
			t.Errorf("doctor with the domain %s: %s", domain, p.Stdout())
		}
	}
}
