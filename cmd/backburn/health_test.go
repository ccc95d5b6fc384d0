//go:build unix

package main

import (
	"encoding/json"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/app"
	"backburn/internal/health"
	"backburn/internal/testkit"
)

// status reads /api/status.
func status(t *testing.T, body string) app.Status {
	t.Helper()
	var st app.Status
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatalf("%v: %s", err, body)
	}

	return st
}

// part returns a part of a status by name.
func part(st app.Status, name string) health.Status {
	for _, p := range st.Parts {
		if p.Part == name {
			return p
		}
	}
	return health.Status{}
}

// Every process is a member of the fleet. The others report one that was killed until it is
// replaced, and do not report one that was stopped.
func TestKilledProcessIsReported(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "worker.lease": "3s"})
	worker, watcher := s.Start("backburn", "worker"), s.Start("backburn", "watcher")
	members := func(want string) {
		t.Helper()
		worker.Until("/api/status", func(_ int, body string) bool {
			st := status(t, body)
			if st.Status == nil {
				return false
			}

			var got []string
			for _, m := range st.Members {
				name := m.Role
				if m.Gone {
					name += " gone"
				}
				if m.Version == "" || m.Config == "" || m.Host == "" {
					t.Errorf("the member has no role or version: %+v", m)
				}

				got = append(got, name)
			}

			slices.Sort(got)

			return strings.Join(got, ",") == want
		})
	}
	members("watcher,worker")
	watcher.Kill()
	members("watcher gone,worker")
	worker.Until("/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `backburn_fleet_members{role="watcher",state="gone"} 1`)
	})
	again := s.Start("backburn", "watcher")
	members("watcher,worker")
	again.Stop()
	members("worker")
	worker.Stop()
}

// While NATS is unreachable, each process reports its own parts, and that the rest is unknown.
func TestStatusWithoutNATS(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false})
	p := s.Start("backburn", "watcher")
	p.Until("/readyz", func(code int, _ string) bool { return code == 200 })
	testkit.StopNATS(ns)
	p.Until("/api/status", func(code int, body string) bool {
		st := status(t, body)
		return code == 200 && st.Status == nil && st.Away != nil && strings.Contains(st.Away.Reason, "NATS is unreachable") && !st.Away.Since.IsZero() &&
			part(st, "nats").State == health.Failed && part(st, "nats").Remedy != "" && len(st.Watch) == 1
	})
	addr := strings.TrimSuffix(strings.TrimPrefix(p.URL("/"), "http://"), "/")
	s.Configure(testkit.Settings{"nats.url": "nats://127.0.0.1:1", "nats.embedded.enabled": false, "http.listen": addr})
	cli := s.Start("backburn", "status")
	if code := cli.Wait(); code != 4 {
		t.Errorf("exit code %d", code)
	}

	for _, want := range []string{"NATS has been unreachable since", "process on this machine (watcher)", "FOLDER", "nats"} {
		if !strings.Contains(cli.Stdout(), want) {
			t.Errorf("backburn status does not say %q:\n%s", want, cli.Stdout())
		}
	}

	if strings.Contains(cli.Stdout(), "no worker is running") {
		t.Errorf("the output has data that cannot be known:\n%s", cli.Stdout())
	}

	p.Stop()
}

// If WildFire is unreachable, its part has failed with a cause, until the next answer.
func TestWildFireUnreachable(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"wildfire.url": "http://" + unusedAddress(t)})
	s.Drop(testkit.File{Name: "a.exe", Body: []byte("MZ a"), Verdict: "benign"})
	p := s.Start("backburn", "run")
	p.Until("/readyz", func(code int, body string) bool {
		return code == 503 && strings.Contains(body, `"part":"wildfire","state":"failed"`) && strings.Contains(body, `"cause":"tcp"`) &&
			strings.Contains(body, "wildfire.url")
	})
	p.Until("/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `backburn_part_state{of="",part="wildfire",state="failed"} 1`) && !strings.Contains(body, "backburn_queries_failed_total 0")
	})
	p.Stop()
}

// SIGHUP never ends a daemon, whenever it arrives.
func TestHangup(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t)
	s.WriteFile("api.token", strings.Repeat("t", 64))
	daemon := func(url string) {
		s.Configure(testkit.Settings{
			"nats.url":              url,
			"nats.embedded.enabled": false,
			"api.listen":            "127.0.0.1:0",
			"clamd.listen":          "127.0.0.1:0",
			"mail.listen":           "127.0.0.1:0",
		})
		s.Append("[[api.token]]\nfile = \"api.token\"\nsource = \"api\"\n" +
			"[[sink]]\nname = \"siem\"\nkind = \"file\"\npath = \"events.jsonl\"\n")
	}
	for _, command := range []string{"worker", "watcher", "run", "api", "sink", "clamd", "mail"} {
		// While it waits for the answer of a server.
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}

		daemon("nats://" + silent.Addr().String())
		p := s.Start("backburn", command)
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}

		p.Signal(syscall.SIGHUP)
		p.Signal(syscall.SIGTERM)
		c.Close()
		silent.Close()
		if code := p.Wait(); code < 0 {
			t.Errorf("%s: SIGHUP ended it while it started", command)
		}

		daemon(ns.ClientURL())
		p = s.Start("backburn", command)
		p.Logged("ready")
		p.Signal(syscall.SIGHUP)
		p.Logged(reloaded)
		p.Until("/healthz", func(code int, _ string) bool { return code == 200 })
		p.Stop()
		if bareDuration.MatchString(p.Stderr()) {
			t.Errorf("a duration without a unit: %s", p.Stderr())
		}
	}
}

// bareDuration matches a duration without a unit in a log line.
var bareDuration = regexp.MustCompile(`"(took|timeout|wait|delay|pause|lifetime|for|age)":-?[0-9]`)
