package examples_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/wildfire/wildfiretest"
)

// node runs a whole Backburn with the HTTP API, and returns the environment of the examples.
func node(t *testing.T) []string {
	t.Helper()
	web := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0), wildfiretest.WithAPIKey("key")).Start()
	t.Cleanup(web.Close)
	key, token := sample(t, "key", "key"), sample(t, "token", "a-token-that-is-long-enough-for-everybody")
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(t.TempDir(), "nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.HTTP.Listen, cfg.Watch = "", nil
	cfg.WildFire.Client.BaseURL, cfg.WildFire.Auth = web.URL, "key"
	cfg.Auth = map[string]config.Auth{"key": {Kind: auth.KindAPIKey, APIKeyFile: key}}
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	shown := config.DefaultAPIToken()
	shown.File, shown.Source = token, "python"
	cfg.API.Listen, cfg.API.Tokens = "127.0.0.1:0", []config.APIToken{shown}
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	cfg.NATS = server.NATS()
	n, err := app.Start(t.Context(), cfg, app.Roles{Work: true, API: true, MaxStore: server.MaxStore()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("node: %v", err)
		}
	})
	return append(os.Environ(), "BACKBURN_API=http://"+n.APIAddr(), "BACKBURN_TOKEN_FILE="+token, "PYTHONDONTWRITEBYTECODE=1")
}

// python runs an example, and returns what it printed and its exit code.
func python(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", args...)
	cmd.Dir, cmd.Env = "python", env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && (cmd.ProcessState == nil || stderr.Len() > 0) {
		t.Fatalf("python3 %v: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestPython(t *testing.T) {
	needs(t, "python3")
	env := node(t)
	bad, good := sample(t, "malware.exe", "MZ malware"), sample(t, "brochure.pdf", "%PDF-1.4 fine")
	odd := sample(t, "unsupported.xyz", "?")

	if out, code := python(t, env, "submit.py", bad, good); code != 1 || out != bad+": malware\n"+good+": benign\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if out, code := python(t, env, "submit.py", odd); code != 2 || !strings.Contains(out, odd+": no verdict: ") {
		t.Errorf("exit code %d, %q", code, out)
	}
	if out, code := python(t, env, "submit.py", good); code != 0 || out != good+": benign\n" {
		t.Errorf("exit code %d, %q", code, out)
	}

	out, _ := python(t, env, "follow.py", "4")
	verdicts := map[string]int{}
	for line := range strings.Lines(out) {
		var e struct{ Type, ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		verdicts[e.Type]++
	}
	if verdicts["backburn.verdict.v1"] != 3 || verdicts["backburn.failed.v1"] != 1 {
		t.Errorf("events %v:\n%s", verdicts, out)
	}

	// TheHive: away at first, then it knows the alert already.
	var mu sync.Mutex
	var got []map[string]any
	answers := []int{503, 201}
	hive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body map[string]any
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &body); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v1/alert" || r.Header.Get("Authorization") != "Bearer hive-key" {
			t.Errorf("%s %s %v: %s", r.Method, r.URL, r.Header, raw)
		}
		got = append(got, body)
		w.WriteHeader(answers[min(len(got), len(answers))-1])
	}))
	defer hive.Close()
	python(t, append(env, "THEHIVE="+hive.URL, "THEHIVE_KEY_FILE="+sample(t, "hive", "hive-key\n")), "thehive.py", "1")
	if len(got) != 2 || got[1]["type"] != "wildfire" || got[1]["severity"] != 3.0 || got[1]["title"] != "WildFire: malware: malware.exe" || got[0]["sourceRef"] != got[1]["sourceRef"] {
		t.Errorf("alerts %v", got)
	}
}
