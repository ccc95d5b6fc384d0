package app_test

import (
	"bufio"
	"context"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/sink"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/needs"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fullConfig returns a configuration with every part, and starts a NATS server and a simulated
// WildFire for it. stopNATS stops the server.
func fullConfig(t *testing.T) (cfg config.Config, stopNATS func()) {
	t.Helper()
	const (
		client = "id@1234567890.iam.panserviceaccount.com"
		secret = "a secret that must not show"
		tsg    = "1234567890"
	)
	web := wildfiretest.New(wildfiretest.WithClient(client, secret, tsg)).Start()
	t.Cleanup(web.Close)
	cfg = config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir, cfg.NATS.Embedded.SyncAlways = filepath.Join(t.TempDir(), "nats"), false
	cfg.Results.MaxBytes = 1 << 30 // for a small disk
	cfg.HTTP.Listen = "127.0.0.1:0"
	cfg.WildFire.Client.BaseURL, cfg.Pipeline.ShutdownTimeout = web.URL, time.Second
	cfg.Auth["wildfire"] = auth.Profile{
		Kind: auth.KindWildFire, ClientID: client, ClientSecret: auth.NewSecret(secret),
		TSGID: tsg, TokenURL: web.URL + wildfiretest.TokenPath, Share: auth.ShareOff,
	}
	cfg.Watch[0].Path, cfg.Watch[0].MinFree = t.TempDir(), 0
	archive := sink.DefaultConfig()
	archive.Name = "archive"
	archive.Kind = sink.KindFile
	archive.Path = filepath.Join(t.TempDir(), "events.jsonl")
	cfg.Sink = []sink.Config{archive}
	cfg.Clamd.Listen, cfg.Mail.Listen = "127.0.0.1:0", "127.0.0.1:0"
	token := api.DefaultToken()
	token.File = filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(token.File, []byte("sixteen characters\n"), 0o600))
	cfg.API.Listen, cfg.API.Tokens = "127.0.0.1:0", []api.Token{token}
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	check(t, err)
	t.Cleanup(server.Shutdown)
	cfg.NATS = server.NATS()

	return cfg, server.Shutdown
}

// start runs a node until the test ends.
func start(t *testing.T, cfg config.Config, roles app.Roles) *app.Node {
	t.Helper()
	n, err := app.Start(t.Context(), cfg, roles, zerolog.Nop())
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Log("node:", err)
		}
	})

	return n
}

// startAllRoles starts a node with every role. stopNATS stops its NATS server.
func startAllRoles(t *testing.T) (n *app.Node, stopNATS func()) {
	t.Helper()
	cfg, stopNATS := fullConfig(t)

	return start(t, cfg, app.Roles{
		Watch: true,
		Work:  true,
		Clamd: true,
		Mail:  true,
		API:   true,
		Sinks: true,
	}), stopNATS
}

// series is the type of a metric and the names of its labels.
type series struct{ kind, labels string }

// scrape reads /metrics. It returns Backburn's metrics by name, and their lines.
func scrape(t *testing.T, n *app.Node) (found map[string]series, lines []string) {
	t.Helper()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + n.HTTPAddr() + "/metrics")
	check(t, err)
	defer res.Body.Close()
	kinds, labels := map[string]string{}, map[string]map[string]bool{}
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		if f := strings.Fields(in.Text()); len(f) == 4 && f[1] == "TYPE" {
			kinds[f[2]] = f[3]
			continue
		}

		m := regexp.MustCompile(`^(backburn_\w+?)(_bucket|_sum|_count)?(\{.*\})? `).FindStringSubmatch(in.Text())
		if m == nil {
			continue
		}

		lines = append(lines, in.Text())
		name := m[1]
		if kinds[name] != "histogram" {
			name += m[2]
		}
		if labels[name] == nil {
			labels[name] = map[string]bool{}
		}

		for _, l := range regexp.MustCompile(`[{,](\w+)="`).FindAllStringSubmatch(m[3], -1) {
			if l[1] != "le" {
				labels[name][l[1]] = true
			}
		}
	}

	found = map[string]series{}
	for name, names := range labels {
		found[name] = series{kinds[name], strings.Join(slices.Sorted(maps.Keys(names)), ", ")}
	}

	return found, lines
}

// documented returns the metrics in the table of docs/metrics.md, by name.
func documented(t *testing.T) map[string]series {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "docs", "metrics.md"))
	check(t, err)
	defer f.Close()
	found := map[string]series{}
	row := regexp.MustCompile("^\\| `(backburn_\\w+)` \\| (\\w+) \\| ([^|]*?) \\| ([^|]+?) \\| ([^|]+?) \\|$")
	in := bufio.NewScanner(f)
	for in.Scan() {
		if !strings.HasPrefix(in.Text(), "| `") {
			continue
		}

		m := row.FindStringSubmatch(in.Text())
		if m == nil {
			t.Errorf("not a row of five cells: %s", in.Text())
			continue
		}

		labels := strings.Split(strings.ReplaceAll(m[3], "`", ""), ", ")
		slices.Sort(labels)
		if _, twice := found[m[1]]; twice {
			t.Errorf("docs/metrics.md has two rows for %s", m[1])
		}

		found[m[1]] = series{m[2], strings.Join(labels, ", ")}
	}

	check(t, in.Err())

	return found
}

// docs/metrics.md lists exactly the metrics that a node with every role exports.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	n, _ := startAllRoles(t)
	exported, _ := scrape(t, n)
	documentedMetrics := documented(t)
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if got, ok := documentedMetrics[name]; !ok {
			t.Errorf("not in docs/metrics.md: | `%s` | %s | %s |", name, exported[name].kind, exported[name].labels)
		} else if got != exported[name] {
			t.Errorf("%s is %+v, and docs/metrics.md says %+v", name, exported[name], got)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documentedMetrics)) {
		if _, ok := exported[name]; !ok {
			t.Errorf("docs/metrics.md has %s, but no node exports it", name)
		}
	}
}

// Every metric in the Grafana dashboard and in the alerts is documented.
func TestDashboardAndAlertsUseDocumentedMetrics(t *testing.T) {
	t.Parallel()
	documentedMetrics := documented(t)
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
		check(t, err)
		names := regexp.MustCompile(`\bbackburn_\w+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s names only %d metrics", file, len(names))
		}

		for _, name := range names {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if b, ok := strings.CutSuffix(name, suffix); ok && documentedMetrics[b].kind == "histogram" {
					base = b
				}
			}

			if _, ok := documentedMetrics[base]; !ok {
				t.Errorf("%s names %s, which is not in docs/metrics.md", file, name)
			}
		}
	}
}

// Every role exports its build, the state of its parts and the state of the fleet. Every metric in
// an alert is exported by some role.
func TestEveryRoleExportsTheCommonMetrics(t *testing.T) {
	t.Parallel()
	cfg, _ := fullConfig(t)
	all := map[string]bool{}
	for name, roles := range map[string]app.Roles{
		"worker":  {Work: true},
		"watcher": {Watch: true},
		"api":     {API: true},
		"sink":    {Sinks: true},
	} {
		n := start(t, cfg, roles)
		exported, lines := scrape(t, n)
		for _, want := range []string{"backburn_part_state", "backburn_build_info", "backburn_fleet_up", "backburn_fleet_workers", "backburn_fleet_members"} {
			if _, ok := exported[want]; !ok {
				t.Errorf("%s does not export %s", name, want)
			}
		}

		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "backburn_build_info{") && strings.Contains(l, `role="`+name+`"`)
		}) {
			t.Errorf("%s exports no backburn_build_info with its role", name)
		}

		for metric := range exported {
			all[metric] = true
		}
	}

	rules, err := os.ReadFile(filepath.Join("..", "..", "docs", "alerts.yml"))
	check(t, err)
	watched := regexp.MustCompile(`\bbackburn_\w+`).FindAllString(string(rules), -1)
	if len(watched) < 20 {
		t.Errorf("the alerts name only %d metrics", len(watched))
	}

	for _, metric := range watched {
		if !all[metric] {
			t.Errorf("an alert names %s, which no role exports", metric)
		}
	}
}

// docs/alerts_test.yml has a case in which each alert fires and one in which it does not, and
// promtool confirms them.
func TestEveryAlertHasACaseThatFires(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "docs")
	rules, err := os.ReadFile(filepath.Join(docs, "alerts.yml"))
	check(t, err)
	cases, err := os.ReadFile(filepath.Join(docs, "alerts_test.yml"))
	check(t, err)
	alerts := regexp.MustCompile(`(?m)alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Fatalf("%d alerts", len(alerts))
	}

	for _, a := range alerts {
		fires, silent := false, false
		for _, c := range strings.Split(string(cases), "\n  - name: ") {
			if !regexp.MustCompile(`alertname: ` + a[1] + `\b`).MatchString(c) {
				continue
			}

			silent = silent || strings.Contains(c, "exp_alerts: []")
			fires = fires || strings.Contains(c, "exp_labels:")
		}

		if !fires || !silent {
			t.Errorf("%s: has a case that fires: %v; has a case that does not: %v", a[1], fires, silent)
		}
	}

	needs.Programs(t, "prometheus", "promtool")
	cmd := exec.CommandContext(t.Context(), "promtool", "test", "rules", "alerts_test.yml")
	cmd.Dir = docs
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// docs/metrics.md and docs/alerts.yml name the same alerts.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	names := func(file, pattern string) []string {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
		check(t, err)
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)

		return found
	}
	rules := names("alerts.yml", `(?m)alert: (\w+)$`)
	documented := names("metrics.md", "`(Backburn\\w+)`")
	if len(rules) < 6 || !slices.Equal(rules, documented) {
		t.Errorf("docs/alerts.yml has %q\ndocs/metrics.md has %q", rules, documented)
	}
}

// The fleet's metrics exist from the start, with one series for each label value. While NATS is
// unreachable they are omitted.
func TestFleetMetricsDisappearWithoutNATS(t *testing.T) {
	t.Parallel()
	n, stopNATS := startAllRoles(t)
	_, lines := scrape(t, n)
	for _, want := range []string{
		`backburn_fleet_up 1`,
		`backburn_fleet_lane_jobs{lane="urgent"} 0`,
		`backburn_fleet_lane_oldest_seconds{lane="bulk"} 0`,
		`backburn_fleet_dead_letters{reason="unsupported_type"} 0`,
		`backburn_fleet_dead_letters{reason="other"} 0`,
		`backburn_fleet_quota_limit{budget="uploads"} 150`,
		`backburn_fleet_quota_used{budget="queries"} 0`,
		`backburn_fleet_quota_exhausted_timestamp_seconds{budget="uploads"} 0`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s", want)
		}
	}

	if !slices.Contains(lines, `backburn_nats_connected 1`) {
		t.Error("no backburn_nats_connected 1")
	}

	stopNATS()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !slices.Contains(lines, `backburn_fleet_up 0`) { // the cached state must expire first
		<-tick.C
		_, lines = scrape(t, n)
	}

	if !slices.Contains(lines, `backburn_nats_connected 0`) {
		t.Error("without a server there is no backburn_nats_connected 0")
	}

	for _, l := range lines {
		if strings.HasPrefix(l, "backburn_fleet_") && l != "backburn_fleet_up 0" {
			t.Errorf("without a server there is %s", l)
		}
	}
}
