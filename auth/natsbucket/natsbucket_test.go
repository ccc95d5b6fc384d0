package natsbucket_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/auth/natsbucket"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// start runs a JetStream server on a store.
func start(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 1 << 28, JetStreamMaxMemory: 1 << 26,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})

	return srv
}

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}

	return js
}

func TestBucketIsCompareAndSet(t *testing.T) {
	t.Parallel()
	js := connect(t, start(t, t.TempDir(), -1).ClientURL())
	ctx := t.Context()
	b, err := natsbucket.Tokens(ctx, js, "tokens", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != "tokens" {
		t.Errorf("name %q", b.Name())
	}
	if _, err := b.Get(ctx, "tok.1"); !errors.Is(err, auth.ErrKeyNotFound) {
		t.Errorf("get of a missing key: %v", err)
	}
	if _, err := b.Update(ctx, "tok.1", []byte("x"), 7); !errors.Is(err, auth.ErrKeyConflict) {
		t.Errorf("update of a missing key: %v", err)
	}

	first, err := b.Create(ctx, "tok.1", []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "tok.1", []byte("b")); !errors.Is(err, auth.ErrKeyConflict) {
		t.Errorf("create of an existing key: %v", err)
	}

	second, err := b.Update(ctx, "tok.1", []byte("b"), first)
	if err != nil || second <= first {
		t.Fatalf("update: revision %d after %d, %v", second, first, err)
	}
	if _, err := b.Update(ctx, "tok.1", []byte("c"), first); !errors.Is(err, auth.ErrKeyConflict) {
		t.Errorf("update of an old revision: %v", err)
	}
	if e, err := b.Get(ctx, "tok.1"); err != nil || string(e.Value) != "b" || e.Revision != second {
		t.Errorf("get: %q at %d, %v", e.Value, e.Revision, err)
	}

	kv, err := js.KeyValue(ctx, "tokens")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(ctx, "tok.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(ctx, "tok.1"); !errors.Is(err, auth.ErrKeyNotFound) {
		t.Errorf("get of a deleted key: %v", err)
	}
	if _, err := b.Create(ctx, "tok.1", []byte("d")); err != nil {
		t.Errorf("create over a deleted key: %v", err)
	}
	if _, err := natsbucket.Tokens(ctx, js, "tokens", 1, time.Hour); err != nil {
		t.Errorf("opening an existing bucket with other settings: %v", err)
	}
	if _, err := natsbucket.Grants(ctx, js, "grants", 1); err != nil {
		t.Error(err)
	}

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Get(canceled, "tok.1"); err == nil || errors.Is(err, auth.ErrKeyNotFound) || errors.Is(err, auth.ErrKeyConflict) {
		t.Errorf("canceled: %v", err)
	}
}

func TestSlowWatcherGetsTheNewestEntry(t *testing.T) {
	t.Parallel()
	js := connect(t, start(t, t.TempDir(), -1).ClientURL())
	b, err := natsbucket.Tokens(t.Context(), js, "tokens", 1, 0)
	if err != nil {
		t.Fatal(err)
	}

	revision, err := b.Create(t.Context(), "tok.1", []byte("a"))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	entries, err := b.Watch(ctx, "tok.1")
	if err != nil {
		t.Fatal(err)
	}
	if e := <-entries; string(e.Value) != "a" || e.Revision != revision {
		t.Errorf("first entry %q at %d", e.Value, e.Revision)
	}

	for i := range 300 { // more than a watcher's buffer, while nobody reads
		if revision, err = b.Update(t.Context(), "tok.1", []byte{byte(i)}, revision); err != nil {
			t.Fatal(err)
		}
	}

	for e := range entries {
		if e.Revision == revision {
			break // the newest entry arrived, although others were skipped
		}
	}

	cancel()
	for range entries { // until it is closed
	}
}

// TestSharedTokenSurvivesAServerRestart stops a real server that a Source needs: the current token
// is still returned, a new process gets none, and after the restart it gets the fleet's.
func TestSharedTokenSurvivesAServerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := start(t, dir, -1)
	port := srv.Addr().(*net.TCPAddr).Port
	b, err := natsbucket.Tokens(t.Context(), connect(t, srv.ClientURL()), "tokens", 1, 0)
	if err != nil {
		t.Fatal(err)
	}

	as := authtest.NewServer(authtest.Config{ClientID: "id", ClientSecret: "secret"})
	defer as.Close()
	open := func() *auth.Source {
		t.Helper()
		s, err := auth.New(auth.Profile{
			Name: "wildfire", Kind: auth.KindWildFire, ClientID: "id", ClientSecret: auth.NewSecret("secret"), TSGID: "1",
			TokenURL: as.TokenURL(), Share: auth.ShareRequired,
		}, auth.WithBucket(b))
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { _ = s.Close() })

		return s
	}
	s := open()
	want, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	srv.Shutdown()
	srv.WaitForShutdown()
	if got, err := s.Token(t.Context()); err != nil || got != want {
		t.Errorf("while the server is down: %v, want the current token", err)
	}

	late := open()
	if _, err := late.Token(t.Context()); !errors.Is(err, auth.ErrTemporary) {
		t.Errorf("while the server is down, a new process: %v, want ErrTemporary", err)
	}

	start(t, dir, port)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got, err := late.Token(ctx)
		if err == nil {
			if got != want {
				t.Error("after the restart: another token than that of the fleet")
			}

			break
		}

		var ae *auth.AuthError
		if !errors.As(err, &ae) {
			t.Fatalf("after the restart: %v", err)
		}

		select {
		case <-time.After(ae.RetryAfter):
		case <-ctx.Done():
			t.Fatalf("after the restart: %v", err)
		}
	}

	if len(as.Requests()) != 1 {
		t.Errorf("%d token requests, want 1", len(as.Requests()))
	}
}
