//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/results"
)

// sampleFilesWithVerdicts are files for which the simulation has the same verdicts as the service.
func sampleFilesWithVerdicts() []testkit.File {
	return []testkit.File{
		{Name: "invoice.pdf", Body: []byte("%PDF-1.7\n% harmless\n"), Verdict: "benign"},
		{Name: "below/setup.exe", Body: []byte("MZ wildfire-test:malware"), Verdict: "malware"},
	}
}

const simulatedPrefix = "backburn-simulated"

// requireOutput runs a command, and checks its exit code and that its output contains the texts.
func requireOutput(t *testing.T, s *testkit.Site, code int, texts []string, args ...string) {
	t.Helper()
	p := s.Start("backburn", args...)
	if got := p.Wait(); got != code {
		t.Errorf("%q: exit code %d, want %d", args, got, code)
	}
	for _, text := range texts {
		if !strings.Contains(p.Stdout()+p.Stderr(), text) {
			t.Errorf("%q does not say %q:\n%s%s", args, text, p.Stdout(), p.Stderr())
		}
	}
}

// The reports that a simulation keeps are read like real ones, and are marked.
func TestReportOfASimulation(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{
		"nats.url":         "nats://127.0.0.1:" + testkit.FreePort(t), // for commands
		"reports.verdicts": toml(`["malware"]`),
	})
	files := sampleFilesWithVerdicts()
	s.Drop(files...)
	p := s.Start("backburn", "run", "--simulate", "--simulate-delay", "100ms")
	testkit.FinalsUnder(t, s.Simulation(p), simulatedPrefix, len(files))
	malware, benign := files[1].SHA256(), files[0].SHA256()
	s.Until("the report", func() bool { return s.Start("backburn", "report", "--simulate", malware).Wait() == 0 })

	requireOutput(t, s, 0, []string{"SIMULATED", malware}, "report", "--simulate", malware)
	requireOutput(t, s, 0, []string{`"bundle"`}, "report", "--simulate", "--format", "stix", malware)
	requireOutput(t, s, 3, []string{"has no report"}, "report", "--simulate", benign)
	requireOutput(t, s, 2, []string{"neither --fresh nor --format maec with --simulate"}, "report", "--simulate", "--fresh", malware)
	p.Stop()
	requireOutput(t, s, 4, nil, "report", "--simulate", malware)
	if n := s.WildFire.Count(""); n != 0 {
		t.Errorf("WildFire was called %d times", n)
	}
}

// A simulation has no effect on WildFire, the files or the sinks, nor on a later real run in the
// same folder.
func TestRealAfterSimulation(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{
		"nats.url":              "nats://127.0.0.1:" + testkit.FreePort(t), // for commands
		"watch.after.benign":    "delete",
		"watch.after.malicious": s.Path("malware") + "/",
	})
	s.Append("[[sink]]\nname = \"siem\"\nkind = \"file\"\npath = \"" + s.Path("events.jsonl") + "\"\n")
	files := sampleFilesWithVerdicts()
	s.Drop(files...)

	p := s.Start("backburn", "run", "--simulate", "--simulate-delay", "100ms")
	finals := testkit.FinalsUnder(t, s.Simulation(p), simulatedPrefix, len(files))
	testkit.OneEach(t, files, finals)
	for _, e := range finals {
		if !e.Simulated {
			t.Errorf("the event is not marked: %+v", e)
		}
	}

	requireOutput(t, s, 0, []string{"SIMULATED", "invoice.pdf", "malware"}, "results", "--simulate")
	requireOutput(t, s, 0, []string{`"backburnsimulated":true`}, "results", "--simulate", "--json")
	requireOutput(t, s, 0, []string{"SIMULATED"}, "status", "--simulate")
	requireOutput(t, s, 0, []string{`"simulated":true`}, "status", "--simulate", "--json")
	requireOutput(t, s, 0, []string{"SIMULATED", "benign"}, "trace", "--simulate", filepath.Join("quarantine", "invoice.pdf"))
	requireOutput(t, s, 0, []string{`"simulated":true`}, "trace", "--simulate", "--json", filepath.Join("quarantine", "invoice.pdf"))
	requireOutput(t, s, 0, []string{"ok    queue", "ok    workers"}, "doctor", "--simulate")
	requireOutput(t, s, 2, []string{"either --online or --simulate"}, "doctor", "--simulate", "--online")
	requireOutput(t, s, 4, []string{"add --simulate"}, "results")
	p.Stop()

	if n := s.WildFire.Count(""); n != 0 {
		t.Errorf("WildFire was called %d times", n)
	}

	left := s.Left()
	for _, f := range files {
		if !slices.ContainsFunc(left, func(name string) bool { return strings.HasSuffix(name, "quarantine/"+f.Name) }) {
			t.Errorf("%s is no longer where it was dropped: %q", f.Name, left)
		}
	}

	for _, name := range []string{"nats", "nats.token", "malware", "events.jsonl", "quarantine/.backburn"} {
		if _, err := os.Lstat(s.Path(name)); err == nil {
			t.Errorf("the simulation has made %s", name)
		}
	}

	p = s.Start("backburn", "run")
	finals = testkit.Finals(t, s.Queue(p), len(files))
	testkit.OneEach(t, files, finals)
	s.OnceUploaded(files)
	for _, e := range finals {
		if e.Simulated || e.Data.Basis != results.BasisUpload {
			t.Errorf("simulated %v, by %s: the event is not WildFire's", e.Simulated, e.Data.Basis)
		}
	}

	requireOutput(t, s, 4, []string{"refuses the credentials"}, "results", "--simulate")
	p.Stop()
}

// A simulated fleet and a real one cannot share a server's streams, whichever is first.
func TestSimulationRefusesReal(t *testing.T) {
	t.Parallel()
	for name, simulated := range map[string]bool{"the real fleet is first": false, "the simulated fleet is first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t)
			ns := testkit.StartNATS(t, &server.Options{})
			external := testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false}
			real := testkit.Settings{"nats.prefix": simulatedPrefix}
			for k, v := range external {
				real[k] = v
			}

			if simulated {
				s.Configure(external)
				first := s.Start("backburn", "run", "--simulate")
				first.Logged("ready")
				s.Configure(real)
				for _, command := range []string{"run", "worker", "watcher"} {
					testkit.Fails(t, s.Start("backburn", command), 2, "belongs to a simulation, and here WildFire is real")
				}

				requireOutput(t, s, 2, []string{"belongs to a simulation"}, "submit", "backburn.toml")
				first.Stop()

				return
			}

			s.Configure(real)
			first := s.Start("backburn", "run")
			first.Logged("ready")
			s.Configure(external)
			testkit.Fails(t, s.Start("backburn", "run", "--simulate"), 2, "belongs to a real fleet, and here WildFire is simulated")
			requireOutput(t, s, 2, []string{"belongs to a real fleet"}, "submit", "--simulate", "backburn.toml")
			first.Stop()
		})
	}
}

// A simulator stores nothing. After each restart, files without a verdict are uploaded again.
func TestSimulationKilled(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	files := sampleFilesWithVerdicts()
	s.Drop(files...)
	for range 2 {
		p := s.Start("backburn", "run", "--simulate", "--simulate-delay", "1h")
		s.Until("every file to be sent", func() bool {
			return strings.Count(p.Stderr(), `"message":"submitted"`) >= len(files)
		})
		p.Kill()
	}

	p := s.Start("backburn", "run", "--simulate", "--simulate-delay", "10ms")
	testkit.OneEach(t, files, testkit.FinalsUnder(t, s.Simulation(p), simulatedPrefix, len(files)))
	p.Stop()
}
