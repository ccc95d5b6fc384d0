package wildfire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// counted serves a simulator and counts its connections.
func counted(t *testing.T, server *wildfiretest.Server) (string, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	web := httptest.NewUnstartedServer(server)
	web.Listener = server.Listener(web.Listener)
	web.Config.ConnContext = server.ConnContext
	web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	web.Start()
	t.Cleanup(web.Close)

	return web.URL, &connections
}

// TestCallsShareOneConnection makes a thousand calls of every kind on one connection.
func TestCallsShareOneConnection(t *testing.T) {
	t.Parallel()
	oneConnection(t, func(server *wildfiretest.Server, c *wildfire.Client) {
		for i := 0; i < 1000; {
			for op, call := range callOf {
				if err := call(t.Context(), c); errors.Is(err, wildfire.ErrTransport) {
					t.Fatalf("%s: %v", op, err)
				}
				i++
			}
		}
	})
}

// oneConnection makes the calls in up to three rounds, and fails unless one round used a single
// connection. On an overloaded machine, net/http drops a connection whose writer is still busy 50
// ms after the answer. An answer that is not drained costs connections in every round.
func oneConnection(t *testing.T, calls func(*wildfiretest.Server, *wildfire.Client)) {
	t.Helper()
	var counts []int64
	for range 3 {
		server := wildfiretest.New(wildfiretest.WithDelay(0))
		url, connections := counted(t, server)
		calls(server, client(t, url, wildfire.StaticToken("t")))
		if counts = append(counts, connections.Load()); connections.Load() == 1 {
			return
		}
	}
	t.Errorf("%v connections, want 1", counts)
}

// TestFailedCallsShareOneConnection: every answer is drained, errors included.
func TestFailedCallsShareOneConnection(t *testing.T) {
	t.Parallel()
	bodies := []wildfiretest.Body{wildfiretest.XMLBody, wildfiretest.EmptyBody, wildfiretest.HTMLBody, wildfiretest.JSONBody}
	styles := []wildfiretest.Style{
		wildfiretest.HTML200, wildfiretest.Error200, wildfiretest.Empty200, wildfiretest.Truncated,
		wildfiretest.MissingVerdict, wildfiretest.WithDTD, wildfiretest.TrailingGarbage | wildfiretest.Chunked,
	}
	oneConnection(t, func(server *wildfiretest.Server, c *wildfire.Client) {
		for op, call := range callOf {
			for _, status := range []int{302, 400, 401, 403, 404, 405, 413, 418, 419, 420, 421, 422, 429, 456, 500, 502, 503, 504, 513} {
				for _, body := range bodies {
					remove := server.Inject(wildfiretest.Rule{Fault: wildfiretest.Fault{Status: status, Body: body}})
					if err := call(t.Context(), c); err == nil || errors.Is(err, wildfire.ErrTransport) {
						t.Errorf("%s, %d: got %v", op, status, err)
					}

					remove()
				}
			}

			for _, style := range styles {
				server.SetStyle(style)
				_ = call(t.Context(), c)
			}

			server.SetStyle(0)
		}
	})
}

// TestErrorPagesAreDrainedUpToALimit checks that a short error page is drained, so that its
// connection is used again. For a long one, a new connection is cheaper.
func TestErrorPagesAreDrainedUpToALimit(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int64{200 << 10: 1, 8 << 20: 2} {
		var connections atomic.Int64
		page := bytes.Repeat([]byte("x"), size)
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write(page)
		}))
		web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		web.Start()
		c := client(t, web.URL, wildfire.StaticToken("t"))
		for range 2 {
			if _, err := c.Sample(t.Context(), anyHash, io.Discard); !errors.Is(err, wildfire.ErrGateway) {
				t.Errorf("got %v, want ErrGateway", err)
			}
		}

		if n := connections.Load(); n != want {
			t.Errorf("%d connections with pages of %d bytes, want %d", n, size, want)
		}

		c.Close()
		web.Close()
	}
}

// silencingListener is a listener whose connections can become silent, as behind a firewall that
// has dropped their state: later writes are lost.
type silencingListener struct {
	net.Listener
	accepted atomic.Int64
	silent   atomic.Int64 // connections up to this number are silent
}

func (l *silencingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &silencingConn{conn, l, l.accepted.Add(1)}, err
}

type silencingConn struct {
	net.Conn
	listener *silencingListener
	number   int64
}

func (c *silencingConn) Write(p []byte) (int, error) {
	if c.number <= c.listener.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestSilentConnectionIsReplaced: over HTTP/2 a connection stays open after a call times out. The
// next call must not stall on it until TCP detects the loss.
func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(wildfiretest.New(wildfiretest.WithDelay(0)))
	listener := &silencingListener{Listener: web.Listener}
	web.Listener, web.EnableHTTP2 = listener, true
	web.StartTLS()
	t.Cleanup(web.Close)
	c := client(t, web.URL, wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Network.CAFile, cfg.Network.PingTimeout = authority(t, web), 200*time.Millisecond
	})
	if _, err := c.Verdicts(t.Context(), []string{anyHash}); err != nil {
		t.Fatal(err)
	}

	listener.silent.Store(listener.accepted.Load())
	if _, err := c.Verdicts(t.Context(), []string{anyHash}); !errors.Is(err, wildfire.ErrTransport) || errors.Is(err, wildfire.ErrStalled) {
		t.Errorf("got %v, want a lost connection", err)
	}
	if _, err := c.Verdicts(t.Context(), []string{anyHash}); err != nil {
		t.Errorf("after it: %v", err)
	}
}
