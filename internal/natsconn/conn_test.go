package natsconn_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/natsconn"
	"backburn/internal/natsd"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/logbuf"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func embedded(t *testing.T) (config.Config, *natsd.Server) {
	t.Helper()
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(t.TempDir(), "nats")
	s, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)

	return cfg, s
}

// unused is an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()

	return "nats://" + l.Addr().String()
}

func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}

	return name
}

func TestConnect(t *testing.T) {
	t.Parallel()
	_, s := embedded(t)
	own := s.NATS()
	token := own
	token.Embedded.Enabled = false
	token.TokenFile = own.Embedded.TokenFile()
	crlf := token
	crlf.TokenFile = file(t, s.Token().Reveal()+"\r\n", 0o600)
	list := own
	list.URL = unused(t) + ", " + own.URL
	for name, cfg := range map[string]natsconn.Config{
		"embedded": own, "token file": token, "token file with CRLF": crlf, "second of the list": list,
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := natsconn.Connect(t.Context(), cfg, "test", zerolog.Nop(), natsconn.Inbox("backburn", "tester"))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if err := natsconn.Health(nc)(); err != nil {
				t.Errorf("Ready: %v", err)
			}
			if inbox := nc.NewInbox(); !strings.HasPrefix(inbox, "_INBOX_backburn_tester.") {
				t.Errorf("inbox %q", inbox)
			}

			nc.Close()
			if err := natsconn.Health(nc)(); err == nil {
				t.Error("a closed connection is ready")
			}
		})
	}
}

func TestConnectRefusals(t *testing.T) {
	t.Parallel()
	_, s := embedded(t)
	with := func(change func(*natsconn.Config)) natsconn.Config {
		cfg := s.NATS()
		change(&cfg)

		return cfg
	}
	invalid := file(t, "neither a key nor a certificate\n", 0o600)
	tests := map[string]struct {
		cfg  natsconn.Config
		is   error
		says string
	}{
		"nobody there":   {with(func(c *natsconn.Config) { c.URL = unused(t) }), natsconn.ErrUnreachable, "backburn run"},
		"no credentials": {with(func(c *natsconn.Config) { c.Embedded.Enabled = false }), natsconn.ErrRefused, "set nats.credentials_file"},
		"wrong token":    {with(func(c *natsconn.Config) { c.TokenFile = file(t, "wrong\n", 0o600) }), natsconn.ErrRefused, "check nats.token_file"},
		"other folder":   {with(func(c *natsconn.Config) { c.Embedded.StoreDir = t.TempDir() + "/x" }), natsconn.ErrRefused, "same working directory"},
		"missing token":  {with(func(c *natsconn.Config) { c.TokenFile = "/nonexistent" }), nil, "nats.token_file"},
		"empty token":    {with(func(c *natsconn.Config) { c.TokenFile = file(t, "\n", 0o600) }), nil, "is empty"},
		"missing creds":  {with(func(c *natsconn.Config) { c.CredentialsFile = "/nonexistent" }), nil, "nats.credentials_file"},
		"missing ca":     {with(func(c *natsconn.Config) { c.TLS.CAFile = "/nonexistent" }), nil, "nats.tls.ca_file"},
		"invalid creds":  {with(func(c *natsconn.Config) { c.CredentialsFile = invalid }), nil, "nats.credentials_file"},
		"invalid cert":   {with(func(c *natsconn.Config) { c.TLS.CertFile, c.TLS.KeyFile = invalid, invalid }), nil, "nats.tls.cert_file"},
	}
	if runtime.GOOS != "windows" {
		tests["open token"] = struct {
			cfg  natsconn.Config
			is   error
			says string
		}{with(func(c *natsconn.Config) { c.TokenFile = file(t, "x\n", 0o644) }), nil, "chmod 600"}
	}

	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			nc, err := natsconn.Connect(t.Context(), tc.cfg, "test", zerolog.Nop())
			if err == nil {
				nc.Close()
				t.Fatal("it connected")
			}

			if tc.is != nil && !errors.Is(err, tc.is) || tc.is == nil && errors.Is(err, natsconn.ErrUnreachable) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: want %v, and a text with %q", err, tc.is, tc.says)
			}
		})
	}
}

// A server that accepts connections and then hangs delays nobody whose context has ended.
func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hanging.Close() })
	cfg := natsconn.Config{URL: "nats://" + hanging.Addr().String()}

	stopped := errors.New("stopped")
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := natsconn.Connect(interrupted, cfg, "test", zerolog.Nop()); !errors.Is(err, stopped) {
		t.Errorf("interrupted: %v", err)
	}
	late, end := context.WithDeadline(t.Context(), time.Now())
	defer end()
	if _, err := natsconn.Connect(late, cfg, "test", zerolog.Nop()); !errors.Is(err, natsconn.ErrUnreachable) {
		t.Errorf("late: %v", err)
	}
}

// restricted starts a server on which only the subject "ok" is allowed, and returns its address.
func restricted(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		Users: []*server.User{{
			Username: "u", Password: "p",
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"ok"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"ok"}},
			},
		}}, NoAuthUser: "u",
	})
	if err != nil {
		t.Fatal(err)
	}

	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })

	return s.ClientURL()
}

// A user who may not receive answers gets none, so Connect says at once why.
func TestUserOfAnotherRole(t *testing.T) {
	t.Parallel()
	var log logbuf.Buffer
	registry := health.New(zerolog.Nop())
	part := registry.Part("permissions", "")
	_, err := natsconn.Connect(t.Context(), natsconn.Config{URL: restricted(t)}, "test", zerolog.New(&log),
		natsconn.Inbox("backburn", "operator"), natsconn.ReportDenials(part))
	if !errors.Is(err, natsconn.ErrRole) || !strings.Contains(err.Error(), "credentials of the role operator") {
		t.Errorf("%v: want %v, and the role", err, natsconn.ErrRole)
	}
	if logged := log.String(); strings.Contains(logged, "denies") || part.Status().State != health.OK {
		t.Errorf("the error is also reported: %s %+v", logged, part.Status())
	}
}

func TestForbiddenSubjectIsLogged(t *testing.T) {
	t.Parallel()
	log := lines{seen: make(chan string, 16)}
	nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: restricted(t)}, "test", zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("forbidden.too")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(time.Minute); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a forbidden subscription: %v", err)
	}
	if err := nc.Publish("forbidden", nil); err != nil {
		t.Fatal(err)
	}

	for deadline := time.After(time.Minute); ; {
		select {
		case line := <-log.seen:
			if strings.Contains(line, "denies this process a subject") && strings.Contains(line, `\"forbidden\"`) {
				return
			}
		case <-deadline:
			t.Fatal("the log does not name the subject")
		}
	}
}

// lines is a log that forwards its lines to the test.
type lines struct{ seen chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.seen <- string(p)
	return len(p), nil
}

// Whoever publishes gets no answer, so the denial is a state of the process.
func TestForbiddenSubjectIsReported(t *testing.T) {
	t.Parallel()
	registry := health.New(zerolog.Nop())
	part := registry.Part("permissions", "")
	nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: restricted(t)}, "test", zerolog.Nop(), natsconn.ReportDenials(part))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if s := part.Status(); s.State != health.OK {
		t.Fatalf("%+v before any denial", s)
	}

	if err := nc.Publish("forbidden", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = registry.Await(ctx, func(parts []health.Status) bool { return parts[0].State == health.Degraded })
	if s := part.Status(); err != nil || s.Cause != health.CauseRefused || !strings.Contains(s.Text(), `Publish to "forbidden"`) {
		t.Errorf("%+v: %v", s, err)
	}
}
