package sink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/internal/sink/credential"
	"backburn/internal/sink/format"
	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

// delivery is a request as the library gets it.
type delivery struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// standardWebhooks installs the npm library of that name into a new folder, from the lock file.
func standardWebhooks(t *testing.T) (dir string) {
	t.Helper()
	needs.Programs(t, "nodejs npm", "node", "npm")
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "standardwebhooks"))); err != nil {
		t.Fatal(err)
	}

	npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		needs.CannotRun(t, "npm cannot fetch standardwebhooks: %v\n%s", err, out)
	}

	return dir
}

// The npm library "standardwebhooks" verifies deliveries, also during a change of keys, and rejects
// those that were modified.
func TestStandardWebhooksVerify(t *testing.T) {
	t.Parallel()
	dir := standardWebhooks(t)

	got := make(chan delivery, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := delivery{Headers: map[string]string{}, Body: string(body)}
		for name := range r.Header {
			d.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		got <- d
	}))
	defer srv.Close()
	second := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	send := func(keys string) delivery {
		w, err := sink.NewWebhook(sink.Config{URL: srv.URL, SecretFile: secretFile(t, keys), UserAgent: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		e := event("job.with.dots")
		e.Data.Filename = "Rechnung für \"x\" 😀.exe"
		if err := w.Send(t.Context(), message(t, e)); err != nil {
			t.Fatal(err)
		}
		return <-got
	}
	one, both := send(key+"\n"), send(key+"\n"+second+"\n")
	changed := one
	changed.Body = strings.Replace(changed.Body, "malware", "benign!", 1)
	stale := send(key)
	stale.Headers["webhook-timestamp"] = "1000000000"

	type verification struct {
		Key string `json:"key"`
		delivery
		Want bool `json:"-"`
	}
	verifications := []verification{
		{key, one, true},
		{key, both, true},
		{second, both, true},
		{second, one, false},
		{key, changed, false},
		{key, stale, false},
	}
	in, err := json.Marshal(verifications)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "verify.mjs")
	if err := os.WriteFile(script, []byte(`
import { Webhook } from "standardwebhooks";
import { readFileSync } from "node:fs";
const verify = ({ key, headers, body }) => {
  try {
    return new Webhook(key).verify(body, headers).type === "backburn.verdict.v1";
  } catch (err) {
    if (err.name !== "WebhookVerificationError") throw err;
    return false;
  }
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verify)));
`), 0o600); err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", script)
	node.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	var verified []bool
	if err := json.Unmarshal(out, &verified); err != nil || len(verified) != len(verifications) {
		t.Fatalf("%s: %v", out, err)
	}
	for i, want := range verifications {
		if verified[i] != want.Want {
			t.Errorf("delivery %d: verified %v, want %v", i, verified[i], want.Want)
		}
	}
}

// The receiver in the documentation accepts only events that are signed with its key.
func TestDocumentedReceiverAcceptsSignedEvents(t *testing.T) {
	t.Parallel()
	const document = "../../docs/examples.md"
	dir := standardWebhooks(t)
	if err := os.WriteFile(filepath.Join(dir, "receiver.mjs"), []byte(testkit.Block(t, document, "// receiver.mjs")), 0o600); err != nil {
		t.Fatal(err)
	}
	port := testkit.FreePort(t)
	command := strings.Fields(strings.NewReplacer("webhook.key", secretFile(t, key+"\n"), "8080", port).Replace(testkit.ShellLine(t, document, "node receiver.mjs")))
	receiver := exec.CommandContext(t.Context(), command[0], command[1:]...)
	receiver.Dir = dir
	printed, err := receiver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Process.Kill(); _ = receiver.Wait() }()

	send := func(key string) error {
		w, err := sink.NewWebhook(sink.Config{URL: "http://127.0.0.1:" + port + "/", SecretFile: secretFile(t, key), UserAgent: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		return w.Send(t.Context(), message(t, event("from-node")))
	}
	waitFor(t, "the receiver accepts an event", func() bool { return send(key) == nil })
	line, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil || line != "backburn.verdict.v1 from-node.verdict\n" {
		t.Errorf("%q, %v", line, err)
	}
	f, ok := errors.AsType[*sink.Fault](send("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))))
	if !ok || f.Kind != sink.Misconfigured || !strings.Contains(f.Error(), "401") {
		t.Errorf("another key: %v", f)
	}
}

func TestWebhookSendsItsCredentials(t *testing.T) {
	t.Parallel()
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	var got http.Header
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	srv.TLS = ours.ServerTLS(true)
	srv.StartTLS()
	defer srv.Close()
	cert, key := ours.Certificate()
	cfg := sink.Config{
		URL:         srv.URL,
		BearerFile:  secretFile(t, "a-token"),
		HeadersFile: secretFile(t, "X-Splunk-Request-Channel: 4711\n\nx-api-key:a key: with a colon\n"),
		TLSFiles:    sink.TLSFiles{CAFile: ours.File, CertFile: cert, KeyFile: key},
		UserAgent:   "backburn/1",
	}
	send := func(cfg sink.Config) error {
		w, err := sink.NewWebhook(cfg)
		if err != nil {
			return err
		}
		defer w.Close()
		m := message(t, event("a"))
		m.ContentType = format.CEF.ContentType()
		return w.Send(t.Context(), m)
	}
	if err := send(cfg); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization":            "Bearer a-token",
		"X-Splunk-Request-Channel": "4711",
		"X-Api-Key":                "a key: with a colon",
		"Content-Type":             "text/plain; charset=utf-8",
		"User-Agent":               "backburn/1",
		credential.HeaderSignature: "",
		credential.HeaderID:        "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}

	for name, files := range map[string]sink.TLSFiles{
		"no certificate":    {CAFile: ours.File},
		"another authority": {CAFile: others.File, CertFile: cert, KeyFile: key},
	} {
		bad := cfg
		bad.TLSFiles = files
		err := send(bad)
		if err == nil || strings.Contains(err.Error(), "a-token") {
			t.Errorf("%s: %v", name, err)
		}
		if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Misconfigured || f.Cause != health.CauseTLS || f.Remedy == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for text, want := range map[string]string{
		"no colon\n":          `headers_file: line 1: expected "Name: value"`,
		"A: b\nBad Name: c\n": `headers_file: line 2: expected "Name: value"`,
		"Content-Type: x\n":   `headers_file: line 1: Content-Type is set by Backburn`,
		"webhook-id: x\n":     `headers_file: line 1: Webhook-Id is set by Backburn`,
		"\n\n":                `headers_file: secret file`,
	} {
		bad := cfg
		bad.HeadersFile = secretFile(t, text)
		if err := send(bad); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"a-key":                  "expected \"whsec_\"",
		"whsec_short":            "expected \"whsec_\"",
		"whsec_c2hvcnQ=":         "24 to 64 bytes",
		key1 + key1 + key1:       "expected one key, or two",
		"whsec_!!!!!!!!!!!!!!!!": "in base64",
	} {
		bad := cfg
		bad.SecretFile = secretFile(t, text)
		if err := send(bad); err == nil || !strings.HasPrefix(err.Error(), "secret_file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

const key1 = key + "\n"

// A receiver without TLS at an https URL stays so until somebody changes a configuration, whether
// it answers in HTTP or not.
func TestWebhookWithoutTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example.com ESMTP\r\n"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()

	for name, addr := range map[string]net.Addr{"HTTP": web.Listener.Addr(), "SMTP": other.Addr()} {
		w, err := sink.NewWebhook(sink.Config{URL: "https://" + addr.String()})
		if err != nil {
			t.Fatal(err)
		}
		err = w.Send(t.Context(), message(t, event("a")))
		if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Misconfigured || f.Cause != health.CauseTLS || f.Remedy == "" {
			t.Errorf("%s: %+v", name, f)
		}
		_ = w.Close()
	}
}

func TestRetryAfterIsParsed(t *testing.T) {
	t.Parallel()
	var header string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", header)
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer srv.Close()
	w, err := sink.NewWebhook(sink.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for value, within := range map[string][2]time.Duration{
		"120":                           {2 * time.Minute, 2 * time.Minute},
		"-1":                            {},
		"":                              {},
		"soon, or never":                {},
		"+5":                            {},
		"1.5":                           {},
		"4294967296":                    {15 * time.Minute, 15 * time.Minute},
		"99999999999999999999999":       {15 * time.Minute, 15 * time.Minute},
		"Fri, 31 Dec 9999 23:59:59 GMT": {15 * time.Minute, 15 * time.Minute},
		time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat): {9 * time.Minute, 10 * time.Minute},
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):       {},
	} {
		header = value
		f, ok := errors.AsType[*sink.Fault](w.Send(t.Context(), message(t, event("a"))))
		if !ok || f.Kind != sink.Unavailable || f.RetryAfter < within[0] || f.RetryAfter > within[1] {
			t.Errorf("%q: %+v", value, f)
		}
	}
}

// A firewall forgets an HTTP/2 connection: neither end notices. Later attempts use a new one.
func TestWebhookLeavesADeadConnection(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the webhook speaks %s", r.Proto)
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	p := startProxy(t, srv.Listener.Addr().String())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const timeout = 500 * time.Millisecond
	w, err := sink.NewWebhook(sink.Config{URL: "https://" + p.Addr().String(), Timeout: timeout, TLSFiles: sink.TLSFiles{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	attempt := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return w.Send(ctx, message(t, event("a")))
	}
	waitFor(t, "the event is accepted", func() bool { return attempt() == nil })
	p.forget()
	if err := attempt(); err == nil {
		t.Error("an event was accepted over a dead connection")
	}
	waitFor(t, "a later attempt is accepted", func() bool { return attempt() == nil })
}

// proxy forwards connections until it forgets them.
type proxy struct {
	net.Listener
	mu    sync.Mutex
	conns []*forwarded
}

// forwarded is a connection through a proxy.
type forwarded struct {
	net.Conn
	forgotten atomic.Bool
}

// Write discards the data of a forgotten connection.
func (f *forwarded) Write(b []byte) (int, error) {
	if f.forgotten.Load() {
		return len(b), nil
	}
	return f.Conn.Write(b)
}

func startProxy(t *testing.T, address string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			toClient, toServer := &forwarded{Conn: client}, &forwarded{Conn: server}
			p.conns = append(p.conns, toClient, toServer)
			p.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(toServer, client) })
			wg.Go(func() { _, _ = io.Copy(toClient, server) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

// forget makes the proxy discard everything that arrives on its present connections.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.forgotten.Store(true)
	}
}

func TestErrorsDoNotContainTheURL(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	address := srv.URL + "/?token=hush"
	srv.Close()
	w, err := sink.NewWebhook(sink.Config{URL: address, SecretFile: secretFile(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	err = w.Send(t.Context(), message(t, event("a")))
	if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Unavailable || f.Cause != health.CauseTCP || f.Remedy == "" {
		t.Errorf("%+v", f)
	}
	if err == nil || !strings.Contains(err.Error(), "cannot be reached") || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), key) {
		t.Errorf("got %v", err)
	}
	if _, err := sink.NewWebhook(sink.Config{URL: "https://a b/?token=hush"}); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}
