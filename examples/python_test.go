package examples_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
	"backburn/wildfire/wildfiretest"
)

// node runs a complete Backburn process with the HTTP API, and returns the environment of the
// examples.
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
	cfg.Auth = map[string]auth.Profile{"key": {Kind: auth.KindAPIKey, APIKeyFile: key}}
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	shown := api.DefaultToken()
	shown.File, shown.Source = token, "python"
	cfg.API.Listen, cfg.API.Tokens = "127.0.0.1:0", []api.Token{shown}
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(server.Shutdown)
	cfg.NATS = server.NATS()
	n, err := app.Start(t.Context(), cfg, app.Roles{Work: true, API: true, NATS: server}, zerolog.Nop())
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

// answered serves JSON requests: it answers with the statuses in order, repeats the last one, and
// records the requests.
func answered(t *testing.T, path, authorization string, said string, statuses ...int) (url string, got func() []map[string]any) {
	t.Helper()
	var mu sync.Mutex
	var all []map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body map[string]any
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &body); err != nil || r.Method != http.MethodPost || r.URL.Path != path || r.Header.Get("Authorization") != authorization {
			t.Errorf("%s %s %v: %s", r.Method, r.URL, r.Header, raw)
		}

		all = append(all, body)
		w.WriteHeader(statuses[min(len(all), len(statuses))-1])
		_, _ = io.WriteString(w, said)
	}))
	t.Cleanup(srv.Close)

	return srv.URL, func() []map[string]any {
		mu.Lock()
		defer mu.Unlock()

		return all
	}
}

func TestPython(t *testing.T) {
	needs.Programs(t, "python3", "python3")
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

	// TheHive and MISP are unreachable at first, and then already have the alert.
	url, got := answered(t, "/api/v1/alert", "Bearer hive-key", `{"message":"Alert already exists"}`, 503, 400)
	documentedLine(t, env, 0, "../docs/sinks.md", "THEHIVE=", "https://thehive.example.com", url, "/etc/backburn/thehive.key", sample(t, "hive", "hive-key\n"), ".py", ".py 1")
	alerts := got()
	if len(alerts) != 2 || alerts[1]["type"] != "wildfire" || alerts[1]["severity"] != 3.0 || alerts[1]["title"] != "WildFire: malware: malware.exe" || alerts[0]["sourceRef"] != alerts[1]["sourceRef"] {
		t.Errorf("alerts %v", alerts)
	}

	url, got = answered(t, "/events/add", "misp-key", `{"errors":"Event already exists, if you would like to edit it, use the url."}`, 502, 403)
	for range 2 { // as after a restart
		documentedLine(t, env, 0, "../docs/sinks.md", "MISP=", "https://misp.example.com", url, "/etc/backburn/misp.key", sample(t, "misp", "misp-key\n"), ".py", ".py 1")
	}

	made := got()
	if len(made) != 3 || !reflect.DeepEqual(made[0], made[2]) {
		t.Fatalf("events of MISP %v", made)
	}

	event, _ := made[1]["Event"].(map[string]any)
	objects, _ := event["Object"].([]any)
	if event["info"] != "WildFire: malware: malware.exe" || event["threat_level_id"] != "2" || event["published"] != false || len(objects) != 1 {
		t.Fatalf("event of MISP %v", event)
	}

	attributes, _ := objects[0].(map[string]any)["Attribute"].([]any)
	values := map[string]any{}
	for _, a := range attributes {
		a := a.(map[string]any)
		values[a["type"].(string)] = a["value"]
	}

	sum := sha256.Sum256([]byte("MZ malware"))
	if values["sha256"] != hex.EncodeToString(sum[:]) || values["filename"] != "malware.exe" || values["size-in-bytes"] != "10" {
		t.Errorf("attributes %v", values)
	}
}

// The exit code of submit.py is that of the worst file, in any order.
func TestPythonExitCodes(t *testing.T) {
	needs.Programs(t, "python3", "python3")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := `{"verdict": "` + r.URL.Query().Get("filename") + `"}`
		if strings.Contains(data, "failed") {
			data = `{"error": {"reason": "too_large"}}`
		}
		_, _ = io.WriteString(w, `{"data": `+data+`}`)
	}))
	t.Cleanup(srv.Close)
	env := append(os.Environ(), "BACKBURN_API="+srv.URL, "BACKBURN_TOKEN_FILE="+sample(t, "token", "token"), "PYTHONDONTWRITEBYTECODE=1")
	for files, want := range map[string]int{
		"benign":         0,
		"malware failed": 1,
		"failed malware": 1,
		"benign failed":  2,
		"unrecognised":   2,
		"phishing":       1,
	} {
		args := []string{"submit.py"}
		for name := range strings.FieldsSeq(files) {
			args = append(args, sample(t, name, "MZ"))
		}
		if out, code := python(t, env, args...); code != want {
			t.Errorf("%s: exit code %d, want %d:\n%s", files, code, want, out)
		}
	}
}

// A process that is killed in the middle of an event does not end those who follow its events.
func TestPythonFollowsAfterACut(t *testing.T) {
	needs.Programs(t, "python3", "python3")
	var streams atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "id: 2026-01-02T00:00:00Z\ndata: {\"source\": \"s\", \"id\": \"%d\", \"type\": \"backburn.verdict.v1\"}\n\n", streams.Add(1))
		_ = http.NewResponseController(w).Flush()
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = out.WriteString("5\r\nid") // the beginning of a chunk
		_ = out.Flush()
		_ = conn.Close()
	}))
	t.Cleanup(srv.Close)
	env := append(os.Environ(), "BACKBURN_API="+srv.URL, "BACKBURN_TOKEN_FILE="+sample(t, "token", "token"), "PYTHONDONTWRITEBYTECODE=1")
	if out, code := python(t, env, "follow.py", "3"); code != 0 || strings.Count(out, "\n") != 3 {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// documentedLine runs a line of a document, with changes, in the module's folder, and returns its
// output.
func documentedLine(t *testing.T, env []string, code int, document, begin string, changes ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	line := strings.NewReplacer(changes...).Replace(testkit.ShellLine(t, document, begin))
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = "..", env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s%s", line, err, out, stderr.String())
	}

	return string(out)
}

const examplesDoc = "../docs/examples.md"

// The commands in docs/examples.md print the documented output.
func TestDocumentedCommands(t *testing.T) {
	needs.Programs(t, "python3 curl", "python3", "curl", "sh")
	env := node(t)
	bad := sample(t, "invoice.exe", "MZ wildfire-test:malware")
	var base, token string
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "BACKBURN_API="); ok {
			base = v
		}
		if v, ok := strings.CutPrefix(e, "BACKBURN_TOKEN_FILE="); ok {
			token = v
		}
	}

	out := documentedLine(t, env, 0, examplesDoc, "curl ", "http://127.0.0.1:9465", base, "api.token", token, "@invoice.exe", "@"+bad)
	if !strings.Contains(out, `"type":"backburn.verdict.v1"`) || !strings.Contains(out, `"verdict":"malware"`) {
		t.Errorf("curl: %s", out)
	}
	if out := documentedLine(t, env, 1, examplesDoc, "python3 examples/python/submit.py", "invoice.exe", bad); out != bad+": malware\n" {
		t.Errorf("submit.py: %q", out)
	}
	if out := documentedLine(t, env, 0, examplesDoc, "python3 examples/python/follow.py"); !strings.Contains(out, `"backburn.verdict.v1"`) {
		t.Errorf("follow.py: %q", out)
	}
}
