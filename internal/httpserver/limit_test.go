package httpserver_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"backburn/internal/httpserver"
)

// unfinishedHeader is a request header that never ends.
const unfinishedHeader = "GET / HTTP/1.1\r\nHost: localhost\r\nX-"

// A connection that sends nothing loses its place to one that sends a request.
func TestSilentConnectionsMakeWay(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.MaxConnections, cfg.MaxConnectionsPerClient = 16, 8
	s := serve(t, cfg, httpserver.Options{}, hello, func(s *httpserver.Server) { s.SetTimeouts(time.Hour) })
	var all []net.Conn
	for i := range 300 {
		all = append(all, s.dial("127.0.0.1", []string{"", "G", unfinishedHeader}[i%3]))
	}
	for range 20 {
		if got := s.ask("localhost", "/"); got != 200 {
			t.Errorf("%d", got)
		}
		all = append(all, s.dial("127.0.0.1", unfinishedHeader))
	}
	until(t, "the connection limit is reached", func() bool {
		return s.metric("backburn_http_connections", "http") == 8 && s.metric("backburn_http_connections_dropped_total", "http", "evicted") >= 300
	})
	if n := s.metric("backburn_http_connections_dropped_total", "http", "refused_client"); n != 0 {
		t.Errorf("%v were refused", n)
	}
	if !strings.Contains(s.log.String(), "connection limit reached") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
	for _, c := range all {
		_ = c.Close()
	}
	until(t, "all connections are closed", func() bool { return s.metric("backburn_http_connections", "http") == 0 })
}

// The client with the most connections loses one, and not the client that connected first.
func TestManyClients(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux does all of 127.0.0.0/8 belong to this machine")
	}
	cfg := config()
	cfg.MaxConnections, cfg.MaxConnectionsPerClient = 10, 8
	s := serve(t, cfg, httpserver.Options{}, hello, func(s *httpserver.Server) { s.SetTimeouts(time.Hour) })
	quiet := s.dial("127.0.0.2", unfinishedHeader)
	until(t, "the connection is open", func() bool { return s.metric("backburn_http_connections", "http") == 1 })
	for range 8 {
		s.dial("127.0.0.3", unfinishedHeader)
	}
	for i := range 7 {
		s.dial(fmt.Sprintf("127.0.1.%d", i+1), unfinishedHeader)
	}
	until(t, "six connections were closed", func() bool { return s.metric("backburn_http_connections_dropped_total", "http", "evicted") == 6 })
	_, err := io.WriteString(quiet, "y: z\r\nConnection: close\r\n\r\n")
	must(t, err)
	if got := readUntilClosed(t, quiet); !strings.HasSuffix(got, "hello /") {
		t.Errorf("got %q", got)
	}
}

// If all connections are busy, a new one is refused temporarily, for the client limit and for the
// total.
func TestBusyConnectionsStay(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux does all of 127.0.0.0/8 belong to this machine")
	}
	entered, release := make(chan struct{}), make(chan struct{})
	busy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "done")
	})
	cfg := config()
	cfg.MaxConnections, cfg.MaxConnectionsPerClient = 3, 2
	s := serve(t, cfg, httpserver.Options{}, busy, nil)
	const whole = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	working := []net.Conn{s.dial("127.0.0.1", whole), s.dial("127.0.0.1", whole), s.dial("127.0.0.2", whole)}
	for range working {
		<-entered
	}
	for from, why := range map[string]string{"127.0.0.1": "refused_client", "127.0.0.3": "refused_total"} {
		if got := readUntilClosed(t, s.dial(from, "")); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: 1\r\n") {
			t.Errorf("%s: got %q", from, got)
		}
		if n := s.metric("backburn_http_connections_dropped_total", "http", why); n != 1 {
			t.Errorf("%s: %v", why, n)
		}
	}
	close(release)
	for _, c := range working {
		if got := readUntilClosed(t, c); !strings.HasSuffix(got, "done") {
			t.Errorf("got %q", got)
		}
	}
}

// Headers, bodies and idle connections have time limits.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	reads := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "too slow", http.StatusRequestTimeout)
		}
	})
	s := serve(t, config(), httpserver.Options{}, reads, func(s *httpserver.Server) {
		for i, bound := range s.Timeouts() {
			if bound <= 0 || bound > time.Minute {
				t.Errorf("deadline %d of a server is %s", i, bound)
			}
		}
		s.SetTimeouts(50 * time.Millisecond)
	})
	for name, text := range map[string]string{
		"nothing":      "",
		"a letter":     "G",
		"half a line":  "GET / HT",
		"half":         unfinishedHeader,
		"half a body":  "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx",
		"half a chunk": "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx",
		"idle":         "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"TLS":          "\x16\x03\x01\x02\x00\x01\x00",
	} {
		got := readUntilClosed(t, s.dial("127.0.0.1", text))
		if strings.Contains(name, "body") && !strings.Contains(got, "too slow") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestHeaderSize(t *testing.T) {
	t.Parallel()
	s := serve(t, config(), httpserver.Options{}, hello, nil)
	if got := readUntilClosed(t, s.dial("127.0.0.1", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")); !strings.Contains(got, " 431 ") {
		t.Errorf("got %.100q", got)
	}
}
