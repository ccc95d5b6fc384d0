package natsd_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/natsd"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/logbuf"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// on returns a configuration with its store in dir.
func on(dir, url string) config.Config {
	cfg := config.Default()
	cfg.NATS.URL = url
	cfg.NATS.Embedded.StoreDir = dir

	return cfg
}

const anyPort = "nats://127.0.0.1:0"

func start(t *testing.T, cfg config.Config) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)

	return s
}

func dial(t *testing.T, s *natsd.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.NATS().URL, nats.Token(s.Token().Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)

	return nc
}

func TestKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	cfg := on(filepath.Join(t.TempDir(), "nats"), anyPort)

	first := start(t, cfg)
	js, err := jetstream.New(dial(t, first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}

	parts := health.New(zerolog.Nop())
	first.Report(parts)
	if err := storeFault(parts); err != nil {
		t.Errorf("Check of a server that is up: %v", err)
	}

	first.Shutdown()
	if err := storeFault(parts); err == nil {
		t.Error("Check of a server that is down is fine")
	}

	second := start(t, cfg)
	if !second.Token().Equal(first.Token()) {
		t.Error("the second server has another token")
	}

	js, err = jetstream.New(dial(t, second))
	if err != nil {
		t.Fatal(err)
	}

	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}

	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(msg.Data) != "kept" {
		t.Errorf("got %v, %v", msg, err)
	}
}

func TestTokenIsPrivateAndDemanded(t *testing.T) {
	t.Parallel()
	cfg := on(filepath.Join(t.TempDir(), "nats"), anyPort)
	var log logbuf.Buffer
	s, err := natsd.Start(t.Context(), cfg, zerolog.New(&log).Level(zerolog.TraceLevel))
	if err != nil {
		t.Fatal(err)
	}

	info, err := os.Stat(cfg.NATS.Embedded.StoreDir + ".token")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the token file has mode %v", info.Mode())
	}

	for _, options := range [][]nats.Option{nil, {nats.Token("wrong")}} {
		if nc, err := nats.Connect(s.NATS().URL, options...); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("without the token: %v", err)
			if nc != nil {
				nc.Close()
			}
		}
	}

	dial(t, s).Close()
	s.Shutdown()
	if token := s.Token().Reveal(); len(token) < 50 || strings.Contains(log.String(), token) {
		t.Errorf("token of %d bytes, or it is in the log:\n%s", len(token), log.String())
	}
}

func TestExposedTokenIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are access control lists here, which are not read")
	}

	cfg := on(filepath.Join(t.TempDir(), "nats"), anyPort)
	if err := os.WriteFile(cfg.NATS.Embedded.TokenFile(), []byte("known to all\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	if s, err := natsd.Start(t.Context(), cfg, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
		if s != nil {
			s.Shutdown()
		}
	}

	// After a failure everything is undone: the store can be locked again.
	if err := os.Remove(cfg.NATS.Embedded.TokenFile()); err != nil {
		t.Fatal(err)
	}

	start(t, cfg)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	shared := filepath.Join(t.TempDir(), "nats")
	start(t, on(shared, anyPort))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(shared, link); err != nil {
		t.Fatal(err)
	}

	var problems config.Problems
	for name, tc := range map[string]struct {
		cfg  config.Config
		is   error
		as   any
		says string
	}{
		"every address":   {cfg: on(t.TempDir(), "nats://0.0.0.0:4222"), as: &problems, says: "loopback address"},
		"another host":    {cfg: on(t.TempDir(), "nats://nats.example:4222"), as: &problems, says: "nats.embedded.enabled = false"},
		"a cluster":       {cfg: on(t.TempDir(), anyPort+","+anyPort), as: &problems, says: "single loopback address"},
		"port in use":     {cfg: on(t.TempDir()+"/nats", "nats://"+busy.Addr().String()), is: natsd.ErrPortInUse, says: "another port in nats.url"},
		"store in use":    {cfg: on(shared, anyPort), is: natsd.ErrLocked, says: "stop the other"},
		"store by link":   {cfg: on(link, anyPort), is: natsd.ErrLocked, says: "stop the other"},
		"store is a file": {cfg: on(shared+".token", anyPort), says: "nats.embedded.store_dir"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := natsd.Start(t.Context(), tc.cfg, zerolog.Nop())
			if err == nil {
				s.Shutdown()
				t.Fatal("it started")
			}

			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
			if tc.as != nil && !errors.As(err, tc.as) {
				t.Errorf("%v is no %T", err, tc.as)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	s, err := natsd.Start(ctx, on(filepath.Join(t.TempDir(), "nats"), anyPort), zerolog.Nop())
	if err == nil {
		s.Shutdown() // it started before it checked its context
	} else if !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nats")
	s := start(t, on(dir, anyPort))
	js, err := jetstream.New(dial(t, s))
	if err != nil {
		t.Fatal(err)
	}

	free, err := natsd.FreeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxStore() <= 0 || s.MaxStore() >= free {
		t.Errorf("the store may hold %s of %s that are free", s.MaxStore(), free)
	}

	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: s.MaxStore().Bytes() + 1})
	if err == nil {
		t.Error("a stream may reserve more than the store may hold")
	}

	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: s.MaxStore().Bytes()})
	if err != nil {
		t.Errorf("a stream of the whole store: %v", err)
	}
}

func TestSyncAlways(t *testing.T) {
	t.Parallel()
	for _, want := range []bool{true, false} {
		cfg := on(filepath.Join(t.TempDir(), "nats"), anyPort)
		cfg.NATS.Embedded.SyncAlways = want
		if got := start(t, cfg).SyncAlways(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// storeFault returns the server's fault in the registry.
func storeFault(r *health.Registry) error {
	for _, p := range r.Of("store", "") {
		if p.State != health.OK {
			return errors.New(p.Text())
		}
	}

	return nil
}
