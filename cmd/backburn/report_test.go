//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// toml is a configuration value in TOML syntax.
type toml string

const verdicts = toml(`["malware"]`)

// Malware in a folder leads to a report event with its domains and addresses. The kept report is
// shown without a query to WildFire: defanged for people, unchanged for programs.
func TestMalwareInAFolderIsReported(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{
		"reports.verdicts":         verdicts,
		"reports.formats":          toml(`["xml", "pdf"]`),
		"reports.pcap":             true,
		"wildfire.queries_per_day": 100_000,
	})
	s.Append("[[policy]]\nname = \"*.exe\"\npriority = \"urgent\"\n")
	p := s.Start("backburn", "run")
	const body = "MZ folder"
	sum := sha256.Sum256([]byte(body))
	sha := hex.EncodeToString(sum[:])
	s.WriteFile("quarantine/malware.exe", body)

	told := testkit.Reports(t, s.Queue(p), 1)
	want := wildfiretest.IndicatorsOf(sha)
	r := told[0].Data.Report
	if len(told) != 1 || told[0].Data.SHA256 != sha || told[0].Data.Path != "malware.exe" || r == nil ||
		len(r.Domains) != 1 || r.Domains[0] != want.Domain || len(r.IPs) == 0 || r.IPs[0] != want.IP {
		t.Fatalf("events: %+v, report %+v", told, r)
	}

	// From here on WildFire is unreachable.
	config := replaced(t, s.Path("backburn.toml"), `nats.url = "nats://127.0.0.1:0"`, `nats.url = "`+p.NATS()+`"`)
	url := between(config, `wildfire.url = "`, `"`)
	s.WriteFile("away.toml", strings.ReplaceAll(config, url, "http://127.0.0.1:1"))
	s.WriteFile("there.toml", config)
	asked := s.WildFire.Count(wildfire.OpReport)
	run := func(code int, args ...string) string {
		t.Helper()
		c := s.Start("backburn", args...)
		if got := c.Wait(); got != code {
			t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, c.Stderr())
		}

		return c.Stdout()
	}
	holds := func(text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}

	text := run(0, "report", sha, "--config", "away.toml")
	holds(text, "kept since", strings.ReplaceAll(want.Domain, ".", "[.]"), strings.ReplaceAll(want.IP, ".", "[.]"), "hxxp://")
	for _, fang := range []string{want.Domain, want.IP, "http://", "https://"} {
		if strings.Contains(text, fang) {
			t.Errorf("%s is not defanged in\n%s", fang, text)
		}
	}

	holds(run(0, "report", sha, "--config", "away.toml", "--json"), want.Domain, want.URL)
	holds(run(0, "report", sha, "--config", "away.toml", "--format", "stix"), `"type":"bundle"`, "[domain-name:value = '"+want.Domain+"']")
	holds(run(0, "report", sha, "--config", "away.toml", "--format", "xml"), "<wildfire>")
	for format, begin := range map[string]string{"pdf": "%PDF-", "pcap": "\xd4\xc3\xb2\xa1"} {
		run(0, "report", sha, "--config", "away.toml", "--format", format, "-o", s.Path(format))
		if b, err := os.ReadFile(s.Path(format)); err != nil || !strings.HasPrefix(string(b), begin) {
			t.Errorf("%s: %q, %v", format, b, err)
		}
	}

	run(4, "report", sha, "--config", "away.toml", "--fresh")
	if n := s.WildFire.Count(wildfire.OpReport); n != asked {
		t.Errorf("%d questions for a report that is kept", n-asked)
	}

	holds(run(0, "report", sha, "--config", "there.toml", "--fresh"), "fetched now")
	if n := s.WildFire.Count(wildfire.OpReport); n != asked+1 {
		t.Errorf("%d questions, want 1", n-asked)
	}

	// All commands for operators show it.
	holds(run(0, "trace", sha, "--config", "away.toml"), "report available since", "domains: 1", "kept: xml, pdf, pcap")
	holds(run(0, "status", "--config", "away.toml"), "reports: none to fetch")
	var status struct {
		Reports *struct{ Waiting int }
		Queries struct{ By map[string]int }
	}
	if err := json.Unmarshal([]byte(run(0, "status", "--json", "--config", "away.toml")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Reports == nil || status.Reports.Waiting != 0 || status.Queries.By["reports"] == 0 {
		t.Errorf("status: %+v", status)
	}

	// They also show the rule by which the file was uploaded.
	uploads := run(0, "results", "--uploads", "--config", "away.toml")
	holds(uploads, "TIME", "SOURCE", told[0].Data.JobID, "quarantine", sha, "malware.exe", `policy[0] (name = "*.exe")`)
	var upload results.Event
	if err := json.Unmarshal([]byte(run(0, "results", "--uploads", "--json", "--config", "away.toml")), &upload); err != nil {
		t.Fatal(err)
	}
	if d := upload.Data; upload.Type != results.Submitted || d.SHA256 != sha || d.Source != "quarantine" || d.SubmittedAt.IsZero() || d.Policy != `policy[0] (name = "*.exe")` {
		t.Errorf("audit: %+v", upload)
	}

	p.Stop()
}

// A report that WildFire does not have is requested by the command only with --fresh.
func TestMissingReportsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"reports.verdicts": verdicts, "verdicts.deadline": "2s", "verdicts.first_poll": "100ms"})
	p := s.Start("backburn", "run")
	const body = "MZ never"
	sum := sha256.Sum256([]byte(body))
	sha := hex.EncodeToString(sum[:])
	s.WriteFile("quarantine/reportless.exe", body)
	if told := testkit.Reports(t, s.Queue(p), 1); told[0].Data.Report.Status != results.ReportMissing {
		t.Fatalf("events: %+v", told[0].Data.Report)
	}

	p.Until("/api/status", func(_ int, body string) bool { return strings.Contains(body, `"waiting":0`) })

	s.WriteFile("there.toml", replaced(t, s.Path("backburn.toml"), `nats.url = "nats://127.0.0.1:0"`, `nats.url = "`+p.NATS()+`"`))
	asked := s.WildFire.Count(wildfire.OpReport)
	for _, try := range []struct {
		flag  string
		asked int
	}{{"--fresh=false", 0}, {"--fresh", 1}} {
		before := s.WildFire.Count(wildfire.OpReport)
		c := s.Start("backburn", "report", sha, "--config", "there.toml", try.flag)
		if code := c.Wait(); code != 3 || !strings.Contains(c.Stderr(), "there is no report on "+sha) {
			t.Errorf("%s: exit code %d\n%s", try.flag, code, c.Stderr())
		}
		if n := s.WildFire.Count(wildfire.OpReport) - before; n != try.asked {
			t.Errorf("%s: %d questions, want %d", try.flag, n, try.asked)
		}
	}

	if asked > 20 {
		t.Errorf("%d queries for a report that never exists", asked)
	}

	p.Stop()
}
