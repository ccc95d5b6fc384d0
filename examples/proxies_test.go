package examples_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/admin"
	"backburn/internal/api"
	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/internal/natsconn"
	"backburn/internal/testkit"
	"backburn/internal/testkit/logbuf"
	"backburn/internal/testkit/needs"
	"backburn/internal/ui"
	"backburn/pipeline/queue"
	"backburn/results"
)

const (
	proxyName  = "backburn.example.com"
	proxyToken = "correct-horse-battery"
)

// behind is Backburn with the configuration of examples/proxies, and a proxy in front of it.
type behind struct {
	t           *testing.T
	dir         string
	http, api   string // addresses of ours
	q           *queue.Queue
	listen      string // of the proxy
	pool        *x509.CertPool
	cert, key   string
	proxyOutput logbuf.Buffer
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{t: t, dir: t.TempDir()}
	must(t, os.Chmod(b.dir, 0o755)) // nginx works as another user
	nc, err := nats.Connect(testkit.StartNATS(t, &server.Options{}).ClientURL())
	must(t, err)
	t.Cleanup(nc.Close)
	b.q, err = queue.Open(t.Context(), nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
	})
	must(t, err)

	token := sample(t, "token", proxyToken+"\n")
	text, err := os.ReadFile(filepath.Join("proxies", "backburn.toml"))
	must(t, err)
	replaced := strings.NewReplacer("127.0.0.1:9464", "127.0.0.1:0", "127.0.0.1:9465", "127.0.0.1:0", "/etc/backburn/api.token", token).Replace(string(text))
	cfg, err := config.Decode([]byte(replaced), "backburn.toml", nil)
	must(t, err)
	must(t, cfg.Validate(config.APIPart))
	page, err := admin.New(cfg.HTTP, admin.Deps{
		Registry: prometheus.NewRegistry(),
		Status:   func(context.Context) (any, error) { return map[string]int{"waiting": 3}, nil },
		Page:     ui.New(ui.Config{Log: zerolog.Nop()}),
		Log:      zerolog.Nop(),
	})
	must(t, err)
	b.http = b.run(page)
	handler, err := api.New(cfg.API, api.Deps{
		Ready:    natsconn.Ready(nc),
		Intake:   b.q.CheckingPublisher(),
		Queue:    b.q,
		Registry: prometheus.NewRegistry(),
		Log:      zerolog.Nop(),
	})
	must(t, err)
	b.api = b.run(handler)
	b.certificate()
	b.listen = freeAddress(t)

	return b
}

func (b *behind) run(s *httpserver.Server) string {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Second) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})

	return s.Addr().String()
}

// certificate creates a certificate for the proxy's name.
func (b *behind) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{proxyName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(b.t, err)
	parsed, err := x509.ParseCertificate(der)
	must(b.t, err)
	b.pool = x509.NewCertPool()
	b.pool.AddCert(parsed)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(b.t, err)
	b.cert, b.key = filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")
	must(b.t, os.WriteFile(b.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(b.t, os.WriteFile(b.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()

	return l.Addr().String()
}

// read returns an example with the test's addresses and files.
func (b *behind) read(name string, more ...string) string {
	text, err := os.ReadFile(filepath.Join("proxies", name))
	must(b.t, err)

	return strings.NewReplacer(append([]string{"127.0.0.1:9464", b.http, "127.0.0.1:9465", b.api}, more...)...).Replace(string(text))
}

// start runs a proxy until the test ends.
func (b *behind) start(name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir)
	cmd.Stdout, cmd.Stderr = &b.proxyOutput, &b.proxyOutput
	must(b.t, cmd.Start())
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	b.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-gone
		if b.t.Failed() {
			b.t.Logf("%s wrote:\n%s", name, b.proxyOutput.String())
		}
	})
	testkit.Listening(b.t, name, b.listen, gone)
}

// try uses Backburn as a client of the proxy.
func (b *behind) try() {
	t := b.t
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: b.pool},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", b.listen)
		},
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer transport.CloseIdleConnections()
	_, port, _ := net.SplitHostPort(b.listen)
	send := func(method, path string, body io.Reader) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+proxyName+":"+port+path, body)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+proxyToken)
		res, err := client.Do(req)
		must(t, err)

		return res
	}
	want := func(method, path string, body io.Reader, status int, holds string) http.Header {
		t.Helper()
		res := send(method, path, body)
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode != status || !strings.Contains(string(got), holds) {
			t.Errorf("%s %s: %d %.300s, want %d with %q", method, path, res.StatusCode, got, status, holds)
		}

		return res.Header
	}

	want("GET", "/backburn/", nil, 200, `ask("api/status"`)
	want("GET", "/backburn/api/status", nil, 200, `{"waiting":3}`)
	want("GET", "/backburn/readyz", nil, 200, `"ok"`)
	if h := want("GET", "/backburn/v1/submit", nil, 405, "method-not-allowed"); h.Get("Allow") != "POST" {
		t.Errorf("%v", h)
	}

	h := want("POST", "/backburn/v1/submit?filename=a.exe", strings.NewReader("MZ"), 202, `"state":"accepted"`)
	location := h.Get("Location")
	if !strings.HasPrefix(location, "/backburn/v1/jobs/") {
		t.Errorf("Location %q", location)
	}

	want("GET", location, nil, 200, `"state":"queued"`)
	want("POST", "/backburn/v1/submit?filename=large.iso", strings.NewReader(strings.Repeat("large", 1<<19)), 202, fmt.Sprint(5<<19))
	want("POST", "/backburn/v1/submit?filename=huge.iso", io.LimitReader(zeros{}, 120_000_000), 413, "")

	// Events arrive while the answer is still open.
	for path, name := range map[string]string{"/backburn/v1/events": "id: "} {
		res := send("GET", path, nil)
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
			t.Fatalf("%s: %d %q", path, res.StatusCode, got)
		}

		lines := bufio.NewScanner(res.Body)
		found := false
		for i := 0; !found && lines.Scan(); i++ {
			if i == 0 { // the stream has begun
				event := results.Event{Type: results.Verdict, Time: time.Now(), Data: results.Data{JobID: "j", Source: "proxy", Filename: "a.exe", Verdict: "malware"}}
				text, err := event.MarshalJSON()
				must(t, err)
				_, err = b.q.JetStream().Publish(t.Context(), event.Subject("backburn"), text)
				must(t, err)
			}

			found = strings.HasPrefix(lines.Text(), name)
		}

		if !found {
			t.Errorf("%s: the stream ended: %v", path, lines.Err())
		}

		_ = res.Body.Close()
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestNginx(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "nginx-light", "nginx")
	b := newBehind(t)
	_, port, _ := net.SplitHostPort(b.listen)
	site := b.read("nginx.conf", "listen 443 ssl", "listen 127.0.0.1:"+port+" ssl", "/etc/nginx/backburn.pem", b.cert, "/etc/nginx/backburn.key", b.key)
	must(t, os.WriteFile(filepath.Join(b.dir, "site.conf"), []byte(site), 0o600))
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(b.dir, kind))
	}

	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}

	main := user + "pid " + filepath.Join(b.dir, "pid") + ";\nerror_log stderr;\nevents {}\nhttp {\n  access_log off;\n" + temp.String() + "  include " + filepath.Join(b.dir, "site.conf") + ";\n}\n"
	must(t, os.WriteFile(filepath.Join(b.dir, "nginx.conf"), []byte(main), 0o600))
	b.start("nginx", "-p", b.dir, "-c", filepath.Join(b.dir, "nginx.conf"), "-g", "daemon off;")
	b.try()
}

func TestCaddy(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "caddy", "caddy")
	b := newBehind(t)
	_, port, _ := net.SplitHostPort(b.listen)
	site := "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" +
		b.read("Caddyfile", "backburn.example.com {", "https://backburn.example.com:"+port+" {\n\tbind 127.0.0.1", "/etc/caddy/backburn.pem", b.cert, "/etc/caddy/backburn.key", b.key)
	file := filepath.Join(b.dir, "Caddyfile")
	must(t, os.WriteFile(file, []byte(site), 0o600))
	b.start("caddy", "run", "--config", file, "--adapter", "caddyfile")
	b.try()
}
