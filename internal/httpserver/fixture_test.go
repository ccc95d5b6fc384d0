package httpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backburn/internal/httpserver"
	"backburn/internal/testkit/logbuf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a server that runs until the test ends.
type site struct {
	*httpserver.Server
	t    *testing.T
	reg  *prometheus.Registry
	log  *logbuf.Buffer
	stop func()
}

// hello answers every request.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello "+r.URL.Path) })

func config() httpserver.Config {
	c := httpserver.DefaultConfig()
	c.Listen = "127.0.0.1:0"

	return c
}

// serve starts a server. prepare is called before it runs, and may be nil.
func serve(t *testing.T, cfg httpserver.Config, opts httpserver.Options, h http.Handler, prepare func(*httpserver.Server)) *site {
	t.Helper()
	s := &site{t: t, reg: prometheus.NewRegistry(), log: &logbuf.Buffer{}}
	opts.Table = "http"
	opts.Registry = s.reg
	opts.Log = zerolog.New(s.log)
	var err error
	s.Server, err = httpserver.New(cfg, opts, h)
	must(t, err)
	if prepare != nil {
		prepare(s.Server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Minute) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)

	return s
}

// localAddr returns the server's address on this machine.
func (s *site) localAddr() string {
	_, port, err := net.SplitHostPort(s.Addr().String())
	must(s.t, err)

	return "127.0.0.1:" + port
}

// ask requests a path with the given Host and returns the status.
func (s *site) ask(host, path string, header ...string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.localAddr()+path, nil)
	must(s.t, err)
	req.Host = host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)

	return res.StatusCode
}

// dial connects from an address of this machine and sends text.
func (s *site) dial(from, text string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(s.t.Context(), "tcp", s.localAddr())
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, text) // the connection may already be closed

	return c
}

// readUntilClosed returns what the server sends until it closes the connection.
func readUntilClosed(t *testing.T, c net.Conn) string {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	b, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server did not close the connection")
	}

	return string(b)
}

// metric returns the value of a series with the given name and labels.
func (s *site) metric(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	must(s.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if strings.Join(values, " ") == strings.Join(labels, " ") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	s.t.Fatalf("no %s of %q", name, labels)

	return 0
}

// until polls until a condition holds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	must(t, os.WriteFile(file, []byte(text), 0o600))

	return file
}
