package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"backburn/auth"
	"backburn/internal/config"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline/watch"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// env is an environment for tests.
func env(pairs ...string) config.Env {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

var same = cmp.Options{
	cmpopts.IgnoreUnexported(config.Config{}),
	cmp.Comparer(func(a, b auth.Secret) bool { return a.Equal(b) }),
}

// decode reads and checks the text of a configuration.
func decode(text []byte, name string, env config.Env) (config.Config, error) {
	cfg, err := config.Decode(text, name, env)
	if err != nil {
		return cfg, err
	}

	return cfg, cfg.Validate(0)
}

func parse(t *testing.T, text string, pairs ...string) config.Config {
	t.Helper()
	cfg, err := decode([]byte(text), "backburn.toml", env(pairs...))
	if err != nil {
		t.Fatalf("decode:\n%v", err)
	}

	return cfg
}

func problems(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	_, err := decode([]byte(text), "backburn.toml", env(pairs...))
	if ps, ok := errors.AsType[config.Problems](err); !ok || len(ps) == 0 {
		t.Fatalf("decode gave %v (%T), want Problems", err, err)
	}

	return err.Error()
}

func TestEmptyFileIsDefault(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff(config.Default(), parse(t, ""), same); d != "" {
		t.Error(d)
	}
}

func example(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}

	return string(b)
}

func TestExampleIsDefault(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff(config.Default(), parse(t, example(t)), same); d != "" {
		t.Error(d)
	}
}

// commented matches a line of the example that shows what is not set by default.
var commented = regexp.MustCompile(`(?m)^#(\S)`)

func TestExampleWithEverythingUncommentedIsValid(t *testing.T) {
	t.Parallel()
	text := commented.ReplaceAllString(example(t), "$1")
	// A profile has a secret in one place only, so the other one is moved away.
	text = strings.ReplaceAll(text, `client_secret = "${`, `#client_secret = "${`)
	cfg := parse(t, text)
	for _, profile := range []string{"api-key", "data-security", "watchguard", "cortex"} {
		if err := cfg.CheckProfile(profile); err != nil {
			t.Errorf("profile of the example: %v", err)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	cfg := parse(t, `
[[watch]]
path = "/srv/Mail Gateway"
settle = "1m30s"
max_file_size = "10MiB"
defer = []
after.malicious = "/srv/malware"

[[watch]]
path = "${BASE}/b"
source = "web"
priority = "bulk"
done_file = "{name}.done"

[worker]
rate = 3
roots = { web = "/mnt/$${web}" }

[auth.wildfire]
client_id = "id"
client_secret = "${SECRET}"

[auth.other]
kind = "api-key"
`, "BASE", "/srv/${SECRET}", "SECRET", "hush")

	if len(cfg.Watch) != 2 {
		t.Fatalf("got %d watches", len(cfg.Watch))
	}

	first := watch.DefaultConfig()
	first.Path, first.Source = "/srv/Mail Gateway", "mail-gateway"
	first.Settle = 90 * time.Second
	first.MaxFileSize = 10 << 20
	first.Defer = []string{}
	first.After.Malicious = "/srv/malware"
	if d := cmp.Diff(first, cfg.Watch[0]); d != "" {
		t.Error(d)
	}

	second := cfg.Watch[1]
	if second.Path != "/srv/${SECRET}/b" || second.Source != "web" || second.Priority != "bulk" || second.DoneFile != "{name}.done" {
		t.Errorf("second watch: %+v", second)
	}
	if cfg.Pipeline.Rate != 3 || cfg.Pipeline.Roots["web"] != "/mnt/${web}" {
		t.Errorf("worker: %+v", cfg.Pipeline)
	}

	want := map[string]auth.Profile{
		"wildfire": {Name: "wildfire", Kind: "wildfire", ClientID: "id", ClientSecret: auth.NewSecret("hush"), Share: "prefer"},
		"other":    {Name: "other", Kind: "api-key"},
	}
	if d := cmp.Diff(want, cfg.Auth, same); d != "" {
		t.Error(d)
	}
	if got := parse(t, "watch = []").Watch; len(got) != 0 {
		t.Errorf("watch = [] gave %v", got)
	}
}

func TestWatchesOfOneFileDoNotShareTheirLists(t *testing.T) {
	t.Parallel()
	cfg := parse(t, "[[watch]]\npath = 'a'\n[[watch]]\npath = 'b'\n")
	cfg.Watch[0].Defer[0] = "changed"
	if cfg.Watch[1].Defer[0] == "changed" || watch.DefaultDefer()[0] == "changed" {
		t.Error("two watches share one list")
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	got := problems(t, `[nats]
url = "nats://127.0.0.1:4222"
prefx = "a"

[[watch]]
path = "q"
claim = "mvoe"
settle = 2
max_file_size = "100"
exclude = [
  "ok",
  "[",
  7,
]

[worker]
rate = "fast"
concurrency = 0
retry_min = "10m"

[auth.wildfire]
client_id = "${MISSING}"
audience = "x"
`)
	want := `backburn.toml:3:1: nats.prefx: unknown key; did you mean "prefix"?
backburn.toml:7:1: watch[0].claim: expected "move" or "keep", got "mvoe"; did you mean "move"?
backburn.toml:8:1: watch[0].settle: expected a duration such as "1m30s" or "7d" (units d, h, m, s, ms), got 2
backburn.toml:9:1: watch[0].max_file_size: expected a size such as "100MB" (10^6) or "100MiB" (2^20), got "100"
backburn.toml:12:3: watch[0].exclude[1]: expected a glob such as "*.tmp", got "["
backburn.toml:13:3: watch[0].exclude[2]: expected a string, got 7
backburn.toml:17:1: worker.rate: expected a number, got "fast"
backburn.toml:18:1: worker.concurrency: expected 1 to 256, got 0
backburn.toml:19:1: worker.retry_max: expected at least worker.retry_min (10m), got "5m"
backburn.toml:22:1: auth.wildfire.client_id: the environment variable MISSING is not set
backburn.toml:23:1: auth.wildfire.audience: does not belong to kind "wildfire", only to watchguard`
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		t.Error(d)
	}
}

// A secret whose variable is not set has one problem, and its file is not missing, too.
func TestUnsetSecretIsOneProblem(t *testing.T) {
	t.Parallel()
	const file = "[auth.wildfire]\nclient_id = 'i'\ntsg_id = '1'\nclient_secret = '${NONE}'\n"
	cfg, err := config.Decode([]byte(file), "backburn.toml", nil)
	if err != nil {
		t.Fatal(err)
	}

	want := "backburn.toml:4:1: auth.wildfire.client_secret: the environment variable NONE is not set"
	if err := cfg.Validate(config.Processes["worker"]); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestShowIsReadBack(t *testing.T) {
	t.Parallel()
	cfg := parse(t, example(t))
	cfg.Watch = append(cfg.Watch, watch.DefaultConfig())
	cfg.Watch[1].Path, cfg.Watch[1].Source = "/srv/$$a \"b\"\\${c}", "other"
	cfg.Pipeline.Rate = 0.125
	cfg.Pipeline.Roots = map[string]string{"a": "/mnt/a", "b-c": "/mnt/'b'"}
	cfg.Auth["legacy"] = auth.Profile{Name: "legacy", Kind: "api-key", APIKeyFile: "k"}
	var b bytes.Buffer
	if err := cfg.Show(&b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cfg, parse(t, b.String()), same); d != "" {
		t.Errorf("%s\n%s", d, b.String())
	}
}

func TestShowOfNoWatch(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := parse(t, "watch = []").Show(&b); err != nil {
		t.Fatal(err)
	}
	if got := parse(t, b.String()).Watch; len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "b.toml")
	if err := os.WriteFile(file, []byte("[log]\nlevel = 'loud'\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	cfg, err := config.Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}

	err = cfg.Validate(0)
	if want := file + `:2:1: log.level: expected "trace", "debug", "info", "warn" or "error", got "loud"`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	for name, want := range map[string]string{filepath.Join(dir, "none"): "cannot be read", dir: "expected a file"} {
		_, err := config.Read(name, nil)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) != 1 || problems[0].File != name || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: %v, want one problem of the file: %s", name, err, want)
		}
	}
}
