package queue

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveIn); dir != "" {
		serveForever(dir)
	}
	leaks.Main(m)
}

// startServer is a real server in the test, with file storage.
func startServer(t testing.TB, dir string, syncAlways bool) *server.Server {
	t.Helper()

	return startServerWith(t, server.Options{StoreDir: dir, SyncAlways: syncAlways})
}

func startServerWith(t testing.TB, opts server.Options) *server.Server {
	t.Helper()
	opts.ServerName = "test"
	opts.Host = "127.0.0.1"
	opts.Port = server.RANDOM_PORT
	opts.JetStream = true
	opts.NoSigs = true
	opts.NoLog = true
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})

	return s
}

func connectTo(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url,
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(false),
		nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)

	return nc
}

func openOn(t testing.TB, nc *nats.Conn) *Queue {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q, err := Open(ctx, nc, Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}

	return q
}

// openTest is a queue on a server of its own.
func openTest(t testing.TB) *Queue {
	t.Helper()

	return openOn(t, connectTo(t, startServer(t, t.TempDir(), false).ClientURL()))
}

// onBoth runs a test against a server that syncs each write, and one that does not.
func onBoth(t *testing.T, test func(t *testing.T, q *Queue)) {
	t.Helper()
	for name, syncAlways := range map[string]bool{"synced": true, "lazy": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openOn(t, connectTo(t, startServer(t, t.TempDir(), syncAlways).ClientURL())))
		})
	}
}
